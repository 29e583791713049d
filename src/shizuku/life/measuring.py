"""The third part of a life: bits per byte beside the baselines, samples, and the town's own truth."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow.parquet as parquet

from shizuku.data.overlap import is_spaceless
from shizuku.data.shards import ShardSet
from shizuku.data.town import Judge, Town, build_town
from shizuku.evaluation.baselines import order5_bits_per_byte, xz_bits_per_byte
from shizuku.evaluation.perplexity import Perplexity, evaluate_text
from shizuku.language_model import LanguageModel, load
from shizuku.life.corpus import HELDOUT, TRAIN, documents_of, is_town
from shizuku.life.making import BASE, CHECKPOINT, SHARDS, batches
from shizuku.life.settings import LifeConfig
from shizuku.text.documents import Document

MEASURED_BYTES, MEASURED_BYTES_A_MINUTE = 1_500_000, 80_000
"""Held-out text is scored up to about this size, in whole documents from all over."""
SAMPLES, SAMPLE_TOKENS, TEMPERATURE = 6, 160, 0.8
JUDGED_SAMPLES = 48


def measure(config: LifeConfig, tokens_seen: int) -> dict[str, Any]:
    """Bits per byte of the models and of three baselines on the same held-out documents.

    The baselines learn from the bytes that the model was trained on, the lessons apart, no more and no less.
    Plain xz, which learns from nothing else, packs all that is held out: of more text it makes less a byte.
    """
    lm = load(config.out / CHECKPOINT)
    every = list(documents_of(config.out / "data" / HELDOUT))
    wanted = min(MEASURED_BYTES, int(MEASURED_BYTES_A_MINUTE * config.minutes))
    documents = _spread(every, wanted)
    heldout = [document.text.encode() for document in documents]
    whole = [document.text.encode() for document in _spread(every, MEASURED_BYTES)]
    seen = seen_text(config, lm, tokens_seen)
    with ThreadPoolExecutor(2) as pool:  # the compressor works outside Python's lock
        primed = pool.submit(xz_bits_per_byte, heldout, b"\n\n".join(seen))
        plain = pool.submit(xz_bits_per_byte, whole)
        ngram = order5_bits_per_byte(seen, heldout)
        groups = _by_language(config, documents) if is_town(config) else {"": documents}
        groups = {name: some for name, some in groups.items() if some}
        scored = {name: _scored(config, lm, some) for name, some in groups.items()}
        base = load(config.out / BASE)
        before = [_scored(config, base, some) for some in groups.values()]
        bits = {"ngram": ngram, "xz": plain.result(), "xz_primed": primed.result()}
    nats, size = sum(s.nats for s in scored.values()), sum(s.bytes for s in scored.values())
    return {
        "bits_per_byte": {"model": nats / math.log(2) / size, **bits},
        "base_bits_per_byte": sum(s.nats for s in before) / math.log(2) / size,
        "perplexity": math.exp(nats / sum(s.tokens for s in scored.values())),
        "heldout_bytes": size,
        "xz_bytes": sum(map(len, whole)),
        "seen_bytes": sum(map(len, seen)),
        "by_language": {
            name: {"bits_per_byte": s.bits_per_byte, "bytes": s.bytes, "floor": _floor(config, groups[name])}
            for name, s in scored.items()
            if name
        },
    }


def _scored(config: LifeConfig, lm: LanguageModel, documents: Sequence[Document]) -> Perplexity:
    return evaluate_text(lm, documents, window=config.context, stride=config.context // 2)


def sample(config: LifeConfig, gathered: dict[str, Any]) -> dict[str, Any]:
    """Texts that the model writes from nothing and from the beginnings of held-out documents."""
    lm = load(config.out / CHECKPOINT)
    heldout = list(documents_of(config.out / "data" / HELDOUT))
    every = max(len(heldout) // SAMPLES, 1)
    openings = [_opening(lm, document.text) for document in heldout[::every][:SAMPLES]]
    prompts = [""] * SAMPLES + openings
    room = config.context - max(len(lm.prompt_ids(prompt)) for prompt in prompts)
    written = lm.generate(
        prompts,
        max_new_tokens=min(SAMPLE_TOKENS, room),
        temperature=TEMPERATURE,
        top_p=0.95,
        seed=config.seed,
    )
    samples = [{"prompt": p, "text": t} for p, t in zip(prompts, written, strict=True)]
    result: dict[str, Any] = {"samples": samples, "first": written[0], "temperature": TEMPERATURE}
    if is_town(config):
        texts = lm.generate(
            [""] * JUDGED_SAMPLES,
            max_new_tokens=config.context - 1,
            temperature=TEMPERATURE,
            seed=config.seed + 1,
            batch_size=JUDGED_SAMPLES,
        )
        result["truth"] = judge_samples(build_town(config.seed, days=gathered["days"]), texts)
    return result


def seen_text(config: LifeConfig, lm: LanguageModel, tokens_seen: int) -> list[bytes]:
    """The documents that training went through, as bytes: all of them after one pass, else what was read."""
    shards = ShardSet.open(config.out / SHARDS / "train", tokenizer=lm.tokenizer, verify=False)
    if tokens_seen >= shards.tokens:
        return [document.text.encode() for document in documents_of(config.out / "data" / TRAIN)]
    pieces = batches(config, shards).pieces_seen(tokens_seen // config.context)
    return [lm.tokenizer.decode_bytes(piece) for piece in pieces]


def judge_samples(town: Town, texts: Sequence[str]) -> dict[str, int]:
    """How many generated sentences the grammar accepts, and how many statements the facts support."""
    judge = Judge(town)
    counts = {"sentences": 0, "accepted": 0, "statements": 0, "supported": 0}
    for text in texts:
        verdicts = judge.check(text, "ja" if is_spaceless(text) else "en")
        for sentence in verdicts.sentences[:-1]:  # the last one may have been cut off
            counts["sentences"] += 1
            counts["accepted"] += sentence.accepted
            counts["statements"] += sentence.supported is not None
            counts["supported"] += sentence.supported is True
    return counts


def _rows(config: LifeConfig) -> dict[str, dict[str, Any]]:
    columns = ["id", "language", "choice_bits"]
    table = parquet.read_table(config.out / "data" / "documents.parquet", columns=columns)
    return {row["id"]: row for row in table.to_pylist()}


def _by_language(config: LifeConfig, documents: Sequence[Document]) -> dict[str, list[Document]]:
    rows = _rows(config)
    return {name: [d for d in documents if rows[d.id]["language"] == name] for name in ("en", "ja")}


def _floor(config: LifeConfig, documents: Sequence[Document]) -> float:
    """Bits per byte of the writer's own choices."""
    rows = _rows(config)
    return sum(rows[d.id]["choice_bits"] for d in documents) / sum(len(d.text.encode()) for d in documents)


def _spread(documents: list[Document], size: int) -> list[Document]:
    """Documents from all over the list, up to about `size` bytes."""
    total = sum(len(document.text.encode()) for document in documents)
    return documents[:: max(-(-total // size), 1)]


def _opening(lm: LanguageModel, text: str) -> str:
    """The first tokens of a document, a small part of the window however it is written."""
    ids = lm.tokenizer.encode(text[:400])[: min(12, lm.context // 4)]
    return lm.tokenizer.decode(ids).rstrip("\ufffd ")
