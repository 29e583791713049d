"""Counts of n-grams over a corpus, length by length, in bounded working memory.

An n-gram is a number: the index of the n-gram without its last token, times V, plus that token. So each
length fits 64 bits whatever the order, and one pass over the tokens counts one length. A pass goes through
the corpus in pieces; what it has counted is kept as sorted runs, on disk where they are many, and merged
range by range.

Legend: `T` tokens of a piece, `N` n-grams of one length, `V` vocabulary.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

from shizuku.errors import ConfigError, DocumentError
from shizuku.models.ngram import NOWHERE, Level
from shizuku.progress import bar

PIECE = 1 << 21
"""Tokens counted at once: about 100 MB of working memory."""
IN_MEMORY = 1 << 24
"""N-grams of runs that are held in memory (256 MB) before they go to disk."""


class TokenDocuments(Protocol):
    """Documents as tokens, start and end tokens included, as `ShardSet` has them."""

    @property
    def documents(self) -> int:
        """How many there are."""
        ...

    def document(self, number: int) -> np.ndarray:
        """The tokens of one, [T]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """The n-grams of one length in their order, and how often each was seen."""

    keys_N: np.ndarray
    """uint64, sorted."""
    counts_N: np.ndarray
    """int64."""


def count_ngrams(
    corpus: TokenDocuments, *, order: int, vocab_size: int, piece: int = PIECE, in_memory: int = IN_MEMORY
) -> list[Counts]:
    """Counts of all n-grams up to `order` tokens inside documents, the shortest first.

    The first length has every token of the vocabulary, with 0 where it was not seen. DocumentError without a
    token, ConfigError for an order or vocabulary that is out of range.
    """
    if order < 1:
        raise ConfigError(f"--order {order}: expected 1 or more tokens")
    if not 1 <= vocab_size < 1 << 31:
        raise ConfigError(f"an n-gram model has 1 to {(1 << 31) - 1:,} tokens, not {vocab_size:,}")
    lengths: list[Counts] = []
    with (
        tempfile.TemporaryDirectory(prefix="shizuku-counts-") as place,
        bar("counting", order, "passes") as line,
    ):
        for length in range(1, order + 1):
            runs = _Runs(Path(place), in_memory)
            for ids_T, starts_T in _pieces(corpus, piece, vocab_size):
                keys = _keys(lengths, ids_T, starts_T, vocab_size)
                runs.add(*np.unique(keys, return_counts=True))
            found = runs.merged()
            if length == 1:
                counts = np.zeros(vocab_size, dtype=np.int64)
                counts[found.keys_N.astype(np.int64)] = found.counts_N
                found = Counts(np.arange(vocab_size, dtype=np.uint64), counts)
                if not counts.any():
                    raise DocumentError("there is no token to count: give more text (--text)")
            lengths.append(found)
            line.update(completed=length)
    return lengths


def suffixes(lengths: list[Counts], vocab_size: int) -> list[np.ndarray]:
    """For each length from two on: where each n-gram without its first token is in the next shorter one.

    It is always there: what is seen inside a document is seen with its own parts.
    """
    found: list[np.ndarray] = []
    for shorter, longer in pairwise(lengths):
        prefixes, tokens = _split(longer.keys_N, vocab_size)
        if not found:
            found.append(tokens)
            continue
        level = Level(shorter.keys_N, shorter.counts_N)
        found.append(level.find(found[-1][prefixes], tokens, vocab_size))
        assert not len(found[-1]) or int(found[-1].min()) >= 0, "a part of an n-gram was not counted"
    return found


def first_tokens(lengths: list[Counts], vocab_size: int) -> list[np.ndarray]:
    """The first token of each n-gram, for each length."""
    found = [np.arange(vocab_size, dtype=np.int64)]
    for longer in lengths[1:]:
        prefixes, _ = _split(longer.keys_N, vocab_size)
        found.append(found[-1][prefixes])
    return found


def prefixes_of(counts: Counts, vocab_size: int) -> np.ndarray:
    """The index of each n-gram without its last token, in the next shorter length, int64."""
    return _split(counts.keys_N, vocab_size)[0]


def _split(keys_N: np.ndarray, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    prefixes, tokens = np.divmod(keys_N, np.uint64(vocab_size))
    return prefixes.astype(np.int64), tokens.astype(np.int64)


def _pieces(corpus: TokenDocuments, size: int, vocab_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Tokens of whole documents laid end to end, and for each whether a document starts with it."""
    held: list[np.ndarray] = []
    tokens = 0
    for number in range(corpus.documents):
        ids = np.asarray(corpus.document(number), dtype=np.int64)
        if not len(ids):
            continue
        if not (ids.min() >= 0 and ids.max() < vocab_size):
            raise DocumentError(f"document {number} has a token id outside the vocabulary of {vocab_size:,}")
        held.append(ids)
        tokens += len(ids)
        if tokens >= size:
            yield _laid(held)
            held, tokens = [], 0
    if held:
        yield _laid(held)


def _laid(documents: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    ids_T = np.concatenate(documents)
    starts_T = np.zeros(len(ids_T), dtype=bool)
    starts_T[np.cumsum([0, *map(len, documents[:-1])])] = True
    return ids_T, starts_T


def _keys(lengths: list[Counts], ids_T: np.ndarray, starts_T: np.ndarray, vocab_size: int) -> np.ndarray:
    """The numbers of the n-grams of the next length, in the order of their last tokens."""
    if not lengths:
        return ids_T.astype(np.uint64)
    ends = ids_T
    for counts in lengths[1:]:
        ends = Level(counts.keys_N, counts.counts_N).find(_before(ends, starts_T), ids_T, vocab_size)
    prefixes = _before(ends, starts_T)
    there = prefixes >= 0
    return prefixes[there].astype(np.uint64) * np.uint64(vocab_size) + ids_T[there].astype(np.uint64)


def _before(indices_T: np.ndarray, starts_T: np.ndarray) -> np.ndarray:
    """What ends at the token before each; NOWHERE at the start of a document."""
    shifted = np.empty_like(indices_T)
    shifted[0] = NOWHERE
    shifted[1:] = indices_T[:-1]
    return np.where(starts_T, NOWHERE, shifted)


class _Runs:
    """Sorted counts of many pieces; those that are too many for memory lie in files."""

    def __init__(self, place: Path, in_memory: int) -> None:
        self._place, self._limit = place, in_memory
        self._runs: list[Counts] = []
        self._filed: list[Counts] = []
        self._held = 0

    def add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        """Take in one piece's keys, sorted and each once, with their counts."""
        self._runs.append(Counts(keys, counts.astype(np.int64)))
        self._held += len(keys)
        if self._held <= self._limit:
            return
        merged = _merged(self._runs, self._limit)
        files = [self._place / f"{len(self._filed)}.{what}.npy" for what in ("keys", "counts")]
        for file, array in zip(files, (merged.keys_N, merged.counts_N), strict=True):
            file.unlink(missing_ok=True)  # of an earlier length, and perhaps still open
            np.save(file, array)
        self._filed.append(Counts(*(np.load(file, mmap_mode="r") for file in files)))
        self._runs, self._held = [], 0

    def merged(self) -> Counts:
        """All runs as one."""
        return _merged([*self._filed, *self._runs], self._limit)


def _merged(runs: list[Counts], at_once: int) -> Counts:
    """Sorted counts of many runs as those of one."""
    runs = [run for run in runs if len(run.keys_N)]
    if not runs:
        return Counts(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64))
    if len(runs) == 1:
        return runs[0]
    keys, counts = [], []
    for parts in _ranges(runs, at_once):
        some = np.concatenate([run.keys_N for run in parts])
        order = np.argsort(some, kind="stable")
        some = some[order]
        first = np.flatnonzero(np.concatenate([[True], some[1:] != some[:-1]]))
        keys.append(some[first])
        counts.append(np.add.reduceat(np.concatenate([run.counts_N for run in parts])[order], first))
    return Counts(np.concatenate(keys), np.concatenate(counts))


def _ranges(runs: list[Counts], at_once: int) -> Iterator[list[Counts]]:
    """The runs cut at the same keys, so that about `at_once` n-grams are sorted at a time."""
    largest = max(runs, key=lambda run: len(run.keys_N)).keys_N
    pieces = max(1, -(-sum(len(run.keys_N) for run in runs) // max(at_once, 1)))
    bounds = np.unique(largest[np.linspace(0, len(largest) - 1, pieces + 1).astype(np.int64)[1:-1]])
    places = [[0, *np.searchsorted(run.keys_N, bounds), len(run.keys_N)] for run in runs]
    for number in range(len(bounds) + 1):
        parts = [
            Counts(run.keys_N[at[number] : at[number + 1]], run.counts_N[at[number] : at[number + 1]])
            for run, at in zip(runs, places, strict=True)
        ]
        if any(len(part.keys_N) for part in parts):
            yield parts
