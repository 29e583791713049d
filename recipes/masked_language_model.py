"""An encoder from scratch: does it fill in hidden words, and tell which passages follow one another?

    python recipes/masked_language_model.py --text town --minutes 6 --seed 0
    python recipes/masked_language_model.py --text wikitext --file wiki.valid.tokens --minutes 6

Trains one encoder with both of BERT's objectives and prints, over all held-out text: the loss of the hidden
tokens beside their cross entropy under the training text's unigrams, and the share of pairs that it tells
rightly, for strangers from other documents and for the harder ones from the same document. What the length of
a pair alone gives away is printed beside (the best threshold, chosen on the held-out pairs themselves).
"""

import argparse
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from shizuku.config import from_dict
from shizuku.data.masked_rows import MaskedRows, MaskedValidation, Negatives
from shizuku.data.shards import ShardSet, write_shards
from shizuku.data.town import town_documents
from shizuku.models.architectures import architecture
from shizuku.models.encoder import Encoder, EncoderConfig, initialise
from shizuku.text.documents import Document
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.config import LoopConfig
from shizuku.training.evaluation import evaluate
from shizuku.training.loop import train
from shizuku.training.masked import FillIn, MaskedHeldOut, MaskedSource
from shizuku.training.presets import ARCHITECTURE_RUNS

ARTICLE = re.compile(r"(?m)^ = [^=\n]+ = $")
EVERY = 10
"""Every tenth article is held out."""
RATES = from_dict(LoopConfig, ARCHITECTURE_RUNS["encoder"]["loop"])
"""What the verb takes for encoders."""


def town(megabytes: float) -> tuple[list[Document], list[Document]]:
    """The town's English documents for training, and those of days and people that are held out."""
    parts: dict[bool, list[Document]] = {True: [], False: []}
    for one in town_documents(megabytes=megabytes, seed=0):
        if one.language == "en":
            parts[one.split == "train"].append(Document(id=one.id, text=one.text, source=one.source))
    return parts[True], parts[False]


def articles(file: Path) -> tuple[list[Document], list[Document]]:
    """WikiText's articles, each a document, for training and held out."""
    text = file.read_text(encoding="utf-8")
    starts = [found.start() for found in ARTICLE.finditer(text)]
    whole = [text[a:b].strip() for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    documents = [Document(id=f"{n:016x}", text=one, source=str(n)) for n, one in enumerate(whole)]
    return [d for n, d in enumerate(documents) if n % EVERY], documents[::EVERY]


def unigram_nats(shards: ShardSet, rows: MaskedRows) -> float:
    """Mean cross entropy of the held-out hidden tokens under the training text's unigrams, one added."""
    counts_V = np.ones(shards.vocab_size)
    for number in range(shards.documents):
        counts_V += np.bincount(shards.document(number), minlength=shards.vocab_size)
    nats_V = -np.log(counts_V / counts_V.sum())
    asked = [batch.targets_BT[batch.mask_BT] for batch in MaskedValidation(rows)]
    return float(nats_V[np.concatenate(asked)].mean())


def by_length(rows: MaskedRows) -> float:
    """Share of held-out pairs that the best threshold on their length tells rightly."""
    lengths, strangers = map(np.concatenate, zip(*_lengths(rows), strict=True))
    best = max(abs(((lengths > length) == strangers).mean() - 0.5) for length in np.unique(lengths))
    return float(0.5 + best)


def _lengths(rows: MaskedRows) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for batch in MaskedValidation(rows):
        segments_PT = batch.segments_BT[batch.pair_rows_P]
        own_P1 = segments_PT[np.arange(len(segments_PT)), batch.pair_places_P][:, None]
        yield (segments_PT == own_P1).sum(1), batch.strangers_P == 1


def measured(model: Encoder, rows: dict[str, MaskedRows], train_shards: ShardSet) -> dict[str, float]:
    """What the trained model makes of the held-out rows, one set for each kind of strangers."""
    found: dict[str, float] = {}
    for negatives, heldout in rows.items():
        batches = MaskedHeldOut(MaskedValidation(heldout))
        means = evaluate(model, FillIn(model.config), batches, torch.device("cpu"))
        found |= {f"pairs right, {negatives}": means["pairs_right"]}
        found |= {f"by length alone, {negatives}": by_length(heldout)}
        if negatives == "random":
            unigrams = unigram_nats(train_shards, heldout)
            found |= {"masked loss": means["masked"], "masked right": means["masked_right"]}
            found |= {"unigram loss": unigrams, "below unigrams": unigrams - means["masked"]}
    return found


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, measure and print; returns the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", choices=["town", "wikitext"], default="town")
    parser.add_argument("--file", type=Path, help="WikiText-2's validation file")
    parser.add_argument("--megabytes", type=float, default=6.0, help="of the town")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--steps", type=int, help="in place of minutes")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--context", type=int, help="tokens of a row, in place of the preset's")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--vocab-size", type=int, default=2000)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    if given.text == "wikitext" and given.file is None:
        parser.error("--text wikitext needs --file")
    documents = town(given.megabytes) if given.text == "town" else articles(given.file)
    tokenizer = Tokenizer.train((d.text for d in documents[0]), given.vocab_size, kind="wordpiece")
    with tempfile.TemporaryDirectory() as name:
        train_shards, heldout = (
            write_shards(part, tokenizer, Path(name) / place)
            for part, place in zip(documents, ("train", "heldout"), strict=True)
        )
        shape = architecture("encoder").presets[given.preset]
        shape = shape | ({"context": given.context} if given.context else {})
        config = EncoderConfig(vocab_size=tokenizer.vocab_size, **shape)
        model = Encoder(config)
        initialise(model, given.seed)
        rates = {name: getattr(RATES, name) for name in ("optimizer", "schedule")}
        size = {"context": config.context, "batch_size": given.batch_size}
        held = {
            kind: MaskedRows(heldout, tokenizer, seed=1, negatives=kind, **size)
            for kind in get_args(Negatives)
        }
        result = train(
            model,
            FillIn(config),
            MaskedSource(MaskedRows(train_shards, tokenizer, seed=given.seed, **size)),
            LoopConfig(
                seed=given.seed, steps=given.steps, dropout=given.dropout, log_every=50, save_minutes=None,
                max_seconds=None if given.steps else 60 * given.minutes, evaluate_every=200,
                **rates,
            ),
            out=given.out or Path(name) / "run",
            tokenizer=tokenizer,
            validation=MaskedHeldOut(MaskedValidation(held["random"], 20_000)),
        )  # fmt: skip
        found = {"training tokens": train_shards.tokens, "seconds": result.seconds}
        found |= {"tokens seen": result.tokens_seen, **measured(model, held, train_shards)}
    print(json.dumps({"text": given.text, "seed": given.seed, **found}, indent=1))
    return found


if __name__ == "__main__":
    main()
