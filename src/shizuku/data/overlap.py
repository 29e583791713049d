"""How much of the held-out text also stands in the training text, in spans long enough not to be chance.

A span is 13 words (letters and digits, case ignored, punctuation passed over) that follow each other within
one document. Text that is written without spaces (Japanese, Chinese, Thai) is compared by spans of 30
characters, white space passed over: about as much speech as 13 English words. Which of the two a document
is, its letters decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from shizuku.data.cleaning import Ledger
from shizuku.errors import ConfigError
from shizuku.text.documents import Document

WORDS = 13
CHARACTERS = 30
MULTIPLIER = 0x9E3779B97F4A7C15
WORD = re.compile(r"\w+")
SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
SPACE = re.compile(r"\s+")
AT_ONCE = 1 << 21
"""Characters of training text that are compared at once."""
FILTER_BITS = 24


@dataclass(frozen=True, slots=True)
class Overlap:
    """What `drop_overlapping` found."""

    kept: list[Document]
    """The held-out documents that are not mostly training text."""
    ratios: np.ndarray
    """float64: of each held-out document, kept or not, the part that stands in training."""
    dropped: int
    """How many documents were dropped."""
    dropped_bytes: int
    """How many UTF-8 bytes they had."""
    before: float
    """The part of the held-out text that stands in training, by bytes, before dropping."""
    after: float
    """The same of what was kept."""


def overlap(
    train: Iterable[Document], heldout: Sequence[Document], span: int = WORDS, *, characters: int = CHARACTERS
) -> np.ndarray:
    """Of each held-out document, the part in spans of `span` words that stand in training: float64 [n].

    Documents without spaces are compared by `characters`. A document shorter than a span has none: 0.
    The training documents are gone through once and may be a stream.
    """
    if span < 1 or characters < 1:
        raise ConfigError(f"a span is at least 1 word or character, got {span} and {characters} (--span)")
    spaceless = np.array([is_spaceless(document.text) for document in heldout], dtype=bool)
    texts = [document.text for document in heldout]
    by_words = _Spans(
        [text for text, is_one in zip(texts, spaceless, strict=True) if not is_one], _Words(), span
    )
    by_characters = _Spans(
        [text for text, is_one in zip(texts, spaceless, strict=True) if is_one], _Characters(), characters
    )
    for batch in _batches(train):
        by_words.mark(batch)
        by_characters.mark([text for text in batch if SPACELESS.search(text)])
    ratios = np.zeros(len(heldout))
    ratios[~spaceless], ratios[spaceless] = by_words.ratios(), by_characters.ratios()
    return ratios


def drop_overlapping(
    train: Iterable[Document],
    heldout: Sequence[Document],
    *,
    threshold: float = 0.5,
    span: int = WORDS,
    ledger: Ledger | None = None,
) -> Overlap:
    """Drops the held-out documents of which more than `threshold` stands in training."""
    ratios = overlap(train, heldout, span)
    sizes = np.array([len(document.text.encode("utf-8")) for document in heldout])
    keep = ratios <= threshold
    if ledger is not None:
        for document, ratio in zip(heldout, ratios, strict=True):
            if ratio > threshold:
                ledger.drop(document, "overlap", "mostly in the training text", score=float(ratio))
    return Overlap(
        kept=[document for document, stays in zip(heldout, keep, strict=True) if stays],
        ratios=ratios,
        dropped=int((~keep).sum()),
        dropped_bytes=int(sizes[~keep].sum()),
        before=_mean(ratios, sizes),
        after=_mean(ratios[keep], sizes[keep]),
    )


def is_spaceless(text: str) -> bool:
    """Whether a third of a text or more is in a script that is written without spaces."""
    return 3 * len(SPACELESS.findall(text)) >= len(SPACE.sub("", text)) > 0


class _Words:
    """Numbers for words: those of the held-out text from 1 on, 0 for any other."""

    def __init__(self) -> None:
        self.table: dict[str, int] = {}

    def learn(self, text: str) -> np.ndarray:
        words = WORD.findall(text.lower())
        return np.array([self.table.setdefault(word, len(self.table) + 1) for word in words], dtype=np.uint64)

    def read(self, texts: Iterable[str]) -> np.ndarray:
        numbers: list[int] = []
        for text in texts:
            numbers += [self.table.get(word, 0) for word in WORD.findall(text.lower())]
            numbers.append(0)
        return np.array(numbers, dtype=np.uint64)


class _Characters:
    """Numbers for characters: their code points; 0 between documents."""

    def learn(self, text: str) -> np.ndarray:
        spaceless = SPACE.sub("", text.lower()).replace("\0", "")
        return np.frombuffer(spaceless.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)

    def read(self, texts: Iterable[str]) -> np.ndarray:
        parts = [part for text in texts for part in (self.learn(text), np.zeros(1, dtype=np.uint64))]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)


class _Spans:
    """The spans of some held-out texts, and which of them have been seen in training."""

    def __init__(self, texts: Sequence[str], units: _Words | _Characters, span: int) -> None:
        self.units, self.span = units, span
        read = [units.learn(text) for text in texts]
        self.lengths = [len(numbers) for numbers in read]
        self.of_text = [_rolling(numbers, span) for numbers in read]
        self.hashes = np.unique(np.concatenate([np.empty(0, dtype=np.uint64), *self.of_text]))
        self.seen = np.zeros(len(self.hashes), dtype=bool)
        # Nearly all training spans are told apart by a look at one bit table; the rest are looked up.
        self.filter = np.zeros(1 << FILTER_BITS, dtype=bool)
        self.filter[self.hashes >> np.uint64(64 - FILTER_BITS)] = True

    def mark(self, texts: Iterable[str]) -> None:
        """Notes which spans stand in these training texts."""
        if not len(self.hashes):
            return
        there = _rolling(self.units.read(texts), self.span)
        there = there[self.filter[there >> np.uint64(64 - FILTER_BITS)]]
        at = np.minimum(np.searchsorted(self.hashes, there), len(self.hashes) - 1)
        self.seen[at[self.hashes[at] == there]] = True

    def ratios(self) -> np.ndarray:
        """Of each text, the part of its units that some seen span covers: float64 [n]."""
        ratios = np.zeros(len(self.of_text))
        for number, (hashes, length) in enumerate(zip(self.of_text, self.lengths, strict=True)):
            starts = np.flatnonzero(self.seen[np.searchsorted(self.hashes, hashes)])
            if len(starts):
                # Each start covers up to the next start, but no further than its own span reaches.
                ratios[number] = np.minimum(np.diff(starts, append=length), self.span).sum() / length
        return ratios


def _rolling(units: np.ndarray, span: int) -> np.ndarray:
    """A 64-bit hash of every `span` units in a row, by doubling lengths: uint64 [n - span + 1]."""
    if len(units) < span:
        return np.empty(0, dtype=np.uint64)
    block, block_length, factor = _mixed(units), 1, MULTIPLIER
    done, done_length = np.zeros(len(units) + 1, dtype=np.uint64), 0
    while True:
        if span & block_length:
            count = len(units) - done_length - block_length + 1
            done = done[:count] * np.uint64(factor) + block[done_length : done_length + count]
            done_length += block_length
        if done_length == span:
            return _mixed(done)
        block = block[:-block_length] * np.uint64(factor) + block[block_length:]
        block_length, factor = 2 * block_length, factor * factor % 2**64


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Spreads neighbouring numbers over all 64 bits (the finaliser of splitmix64, Steele and others 2014)."""
    mixed = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _batches(documents: Iterable[Document]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for document in documents:
        batch.append(document.text)
        characters += len(document.text)
        if characters >= AT_ONCE:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _mean(ratios: np.ndarray, sizes: np.ndarray) -> float:
    return float((ratios * sizes).sum() / sizes.sum()) if sizes.sum() else 0.0
