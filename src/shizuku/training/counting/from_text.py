"""From text to a counted n-gram model, for `shizuku train --architecture ngram`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shizuku.checkpoints.ngram import save_ngram
from shizuku.checkpoints.run_record import run_record
from shizuku.config import to_dict
from shizuku.data.shards import ShardSet
from shizuku.errors import ConfigError
from shizuku.models.ngram import NGramModel
from shizuku.progress import say
from shizuku.training.config import TrainConfig
from shizuku.training.counting.counts import TokenDocuments, count_ngrams
from shizuku.training.counting.smoothing import smooth
from shizuku.training.from_text import prepare
from shizuku.training.resume import check_place

EACH = 20
"""Jelinek-Mercer's weights are estimated on every so many-th document or piece, which is then not counted."""


@dataclass(frozen=True, slots=True)
class CountResult:
    """What counting came to."""

    checkpoint: Path
    """Where the model is."""
    tokens_seen: int
    """Tokens that were counted."""
    seconds: float
    """What counting and smoothing took."""
    loss: float | None
    """Nats a token on the held-out text; None without any."""
    ngrams: tuple[int, ...]
    """How many n-grams of each length the model has."""

    @property
    def tokens_per_second(self) -> float:
        """Tokens counted a second."""
        return self.tokens_seen / max(self.seconds, 1e-9)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Pieces of the documents of a set."""

    whole: TokenDocuments
    """The set."""
    pieces: Sequence[tuple[int, int, int | None]]
    """A document, and the tokens of it from one place to another."""

    @property
    def documents(self) -> int:
        """How many pieces."""
        return len(self.pieces)

    def document(self, number: int) -> np.ndarray:
        """The tokens of one, [T]."""
        document, begin, end = self.pieces[number]
        return self.whole.document(document)[begin:end]


def parted(documents: TokenDocuments) -> tuple[Chosen, Chosen]:
    """What is counted, and what weights are estimated on: every `EACH`-th document, or piece of one where
    there are few.
    """
    pieces: list[tuple[int, int, int | None]] = [(number, 0, None) for number in range(documents.documents)]
    if len(pieces) < 2 * EACH:
        sizes = [len(documents.document(number)) for number in range(documents.documents)]
        size = max(1, sum(sizes) // (2 * EACH))
        pieces = [
            (number, begin, begin + size)
            for number, length in enumerate(sizes)
            for begin in range(0, length, size)
        ]
    counted = [piece for number, piece in enumerate(pieces) if number % EACH]
    return Chosen(documents, counted), Chosen(documents, pieces[::EACH])


def count_text(config: TrainConfig) -> CountResult:
    """Count and smooth as the config says; raises what reading, tokenising and counting raise."""
    if config.loop.resume:
        raise ConfigError("--resume: counting an n-gram model begins anew each time: leave it out")
    check_place(config.out, resume=False)
    prepared, own = prepare(config), config.ngram
    vocab_size, train = prepared.tokenizer.vocab_size, prepared.train
    begun = time.perf_counter()
    counted: TokenDocuments = train
    weighed: TokenDocuments | None = None
    if own.smoothing == "jelinek-mercer":
        counted, weighed = parted(train)
    counts = count_ngrams(counted, order=own.order, vocab_size=vocab_size)
    heldout = () if weighed is None else count_ngrams(weighed, order=own.order, vocab_size=vocab_size)
    model = smooth(
        counts, own.smoothing, vocab_size=vocab_size, start=opening_token(train), k=own.add, heldout=heldout
    )
    seconds = time.perf_counter() - begun
    loss = None if prepared.heldout is None else mean_loss(model, prepared.heldout)
    result = CountResult(config.out, train.tokens, seconds, loss, tuple(map(len, model.levels)))
    metrics = {"tokens_seen": train.tokens, "seconds": seconds, "validation_loss": loss}
    record = run_record(config=to_dict(config), data=prepared.record(), metrics=metrics)
    settings = {"smoothing": own.smoothing, "ngrams": list(result.ngrams)}
    save_ngram(config.out, model=model, tokenizer=prepared.tokenizer, run=record, settings=settings)
    if loss is None:
        say("nothing is held out, so nothing says how good the model is (--validation)")
    return result


def opening_token(shards: ShardSet) -> int | None:
    """The token before each document where it has no other use; None where it also ends them."""
    start = shards.document_start_id
    return None if start == shards.eos_id else start


def mean_loss(model: NGramModel, documents: TokenDocuments) -> float:
    """Nats a token over whole documents; the first token of each has nothing before it and is not counted."""
    nats, tokens = 0.0, 0
    for number in range(documents.documents):
        logprobs = model.logprobs(np.asarray(documents.document(number), dtype=np.int64))[1:]
        nats, tokens = nats - float(logprobs.sum()), tokens + len(logprobs)
    return nats / max(tokens, 1)
