"""What a language model has to beat on held-out text: an order-5 byte model, and the compressor `xz -9`.

The byte model is interpolated modified Kneser-Ney (Chen and Goodman 1999, section 4.1.6): order 5 means
that five bytes of context predict the sixth. Witten-Bell smoothing in its place is worse on all that was
tried, in bits per byte of the last tenth: tiny Shakespeare 2.45 against 2.20, WikiText-2 2.15 against 1.96,
Sōseki's Neko 1.95 against 1.81. Documents stand alone: before the first byte of each stand five boundary
symbols, which are context but never predicted, so that the probabilities of the 256 bytes sum to one after
any context.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from shizuku.errors import DocumentError

BOUNDARY = 256
BITS = 9
"""Bits of a symbol: 256 bytes and the boundary."""
LONGEST = 64 // BITS - 1
"""The largest order whose n-grams fit in 64 bits."""
AT_ONCE = 1 << 22
"""Positions counted at once: about 100 MB of working memory."""
FALLBACK_DISCOUNTS = (0.0, 0.5, 1.0, 1.5)
"""For orders with too few counts to estimate them, as on very small texts."""


@dataclass(frozen=True, slots=True)
class _Level:
    """The counts of one length of n-gram, newest symbol in the lowest bits."""

    grams: np.ndarray
    """uint64, sorted."""
    counts: np.ndarray
    """int64: how often each was seen; below the longest, how many different symbols were seen before it."""
    contexts: np.ndarray
    """uint64, sorted: the n-grams without their newest symbol."""
    totals: np.ndarray
    """int64: the sum of the counts after each context."""
    backoffs: np.ndarray
    """float64: the share of each context's probability that goes to the next shorter context."""
    discounts: np.ndarray
    """float64 [4]: what is taken off counts of 0, 1, 2, and 3 or more."""


class ByteModel:
    """Interpolated modified Kneser-Ney over bytes; its counts are sorted arrays."""

    def __init__(self, documents: Sequence[bytes], *, order: int = 5) -> None:
        """Counts `documents`.

        Raises DocumentError if there is no byte in them, ValueError for an order out of range.
        """
        if not 0 <= order <= LONGEST:
            raise ValueError(f"the order must be 0 to {LONGEST} bytes of context, got {order}")
        if not any(documents):
            raise DocumentError("the byte model has no text to learn from; give more of it (--text)")
        self.order = order
        grams, counts = _merged(_counted(documents, order))
        levels = [_level(grams, counts)]
        for length in range(order, 0, -1):
            # An n-gram that starts with a boundary has nothing but boundaries before it: its own count stays.
            at_start = (grams >> (BITS * (length - 1))) & (2**BITS - 1) == BOUNDARY
            grams, counts = _summed(grams & (2 ** (BITS * length) - 1), np.where(at_start, counts, 1))
            levels.append(_level(grams, counts))
        self._levels = levels[::-1]

    def bits(self, documents: Sequence[bytes]) -> float:
        """How many bits it takes to say `documents`, the ends of documents not counted."""
        grams, counts = _merged(_counted(documents, self.order))
        return float(-(counts * np.log2(self._probabilities(grams))).sum())

    def distribution(self, context: bytes, *, at_start: bool = False) -> np.ndarray:
        """The probability of each byte after `context`, float64 [256]; `at_start`: it opens a document."""
        known = list(context[max(0, len(context) - self.order) :])
        if len(known) < self.order and not at_start:
            raise ValueError(f"{self.order} bytes of context are needed, got {len(context)}")
        packed = 0
        for symbol in [BOUNDARY] * (self.order - len(known)) + known:
            packed = packed << BITS | symbol
        return self._probabilities(np.uint64(packed << BITS) + np.arange(256, dtype=np.uint64))

    def _probabilities(self, grams: np.ndarray) -> np.ndarray:
        """p(hw) = max(c(hw) - D, 0) / c(h) + backoff(h) p(h'w), from the shortest context to the longest."""
        probability = np.full(len(grams), 1 / 256)
        for length, level in enumerate(self._levels, start=1):
            here = grams & np.uint64(2 ** (BITS * length) - 1)
            context, known = _find(level.contexts, here >> np.uint64(BITS))
            gram, seen = _find(level.grams, here)
            count = np.where(seen, level.counts[gram], 0)
            kept = count - level.discounts[np.minimum(count, 3)]
            longer = kept / level.totals[context] + level.backoffs[context] * probability
            probability = np.where(known, longer, probability)
        return probability


def order5_bits_per_byte(train: bytes | Sequence[bytes], heldout: Sequence[bytes], order: int = 5) -> float:
    """Bits per byte of `heldout` under a byte model counted on `train`, one document or several."""
    model = ByteModel([train] if isinstance(train, bytes) else train, order=order)
    return model.bits(heldout) / _size(heldout)


def xz_bits_per_byte(heldout: Sequence[bytes], primed_with: bytes | None = None) -> float:
    """Bits per byte of `heldout`, laid end to end, as `xz -9` packs it (format and check sums counted).

    With `primed_with`, what the held-out text adds to it: size(xz(primed_with + heldout)) -
    size(xz(primed_with)). The dictionary is the 64 MiB of preset 9, or as large as all the text where that
    is more.
    """
    text = b"".join(heldout)
    if primed_with is None:
        return 8 * _xz_size(text) / _size(heldout)
    with ThreadPoolExecutor(2) as pool:  # lzma lets go of the interpreter's lock
        both, alone = pool.map(_xz_size, (primed_with + text, primed_with))
    return 8 * (both - alone) / _size(heldout)


def _xz_size(text: bytes) -> int:
    wanted, largest = len(text), 3 << 29
    if wanted > largest:
        raise DocumentError(f"xz can look back {largest:,} bytes at most; the text has {wanted:,}")
    filters: list[dict[str, int]] = [{"id": lzma.FILTER_LZMA2, "preset": 9}]
    if wanted > 64 << 20:
        filters[0]["dict_size"] = wanted
    return len(lzma.compress(text, format=lzma.FORMAT_XZ, filters=filters))


def _size(documents: Sequence[bytes]) -> int:
    size = sum(map(len, documents))
    if size == 0:
        raise DocumentError("there is no held-out text to measure; hold out more of it")
    return size


def _counted(documents: Sequence[bytes], order: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The n-grams of every byte and its `order` symbols of context, a bounded number of positions at once."""
    waiting: list[np.ndarray] = []
    size = 0
    for document in documents:
        for first in range(0, len(document), AT_ONCE):
            before = np.full(order, BOUNDARY, dtype=np.uint16)
            context = np.frombuffer(document[max(0, first - order) : first], dtype=np.uint8)
            before[order - len(context) :] = context
            piece = np.frombuffer(
                document, dtype=np.uint8, count=min(AT_ONCE, len(document) - first), offset=first
            )
            # Each piece brings its context along; the positions of the context itself are not counted.
            waiting.append(np.concatenate([before, piece]))
            size += len(piece)
            if size >= AT_ONCE:
                yield _grams(waiting, order)
                waiting, size = [], 0
    if waiting:
        yield _grams(waiting, order)


def _grams(pieces: list[np.ndarray], order: int) -> tuple[np.ndarray, np.ndarray]:
    symbols = np.concatenate(pieces)
    packed = np.zeros(len(symbols) - order, dtype=np.uint64)
    for back in range(order, -1, -1):
        packed = packed << np.uint64(BITS) | symbols[order - back : len(symbols) - back]
    lengths = np.array([len(piece) for piece in pieces])
    starts = np.cumsum(lengths) - lengths
    counted = np.ones(len(symbols), dtype=bool)
    for back in range(order):
        counted[starts + back] = False
    return _summed(packed[counted[order:]], None)


def _summed(grams: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The different n-grams, sorted, and the sum of each one's weights (None: how often it is there)."""
    if weights is None:
        unique, counts = np.unique(grams, return_counts=True)
        return unique, counts.astype(np.int64)
    order = np.argsort(grams, kind="stable")
    grams = grams[order]
    first = np.flatnonzero(np.concatenate([[True], grams[1:] != grams[:-1]]))
    return grams[first], np.add.reduceat(weights[order], first)


def _merged(parts: Iterator[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    grams, counts = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    for more_grams, more_counts in parts:
        if not len(grams):
            grams, counts = more_grams, more_counts
        else:
            grams, counts = _summed(
                np.concatenate([grams, more_grams]), np.concatenate([counts, more_counts])
            )
    return grams, counts


def _level(grams: np.ndarray, counts: np.ndarray) -> _Level:
    discounts = _discounts(counts)
    of_gram = grams >> np.uint64(BITS)
    first = np.flatnonzero(np.concatenate([[True], of_gram[1:] != of_gram[:-1]]))
    totals = np.add.reduceat(counts, first)
    taken = np.add.reduceat(discounts[np.minimum(counts, 3)], first)
    return _Level(grams, counts, of_gram[first], totals, taken / totals, discounts)


def _discounts(counts: np.ndarray) -> np.ndarray:
    """Chen and Goodman's estimates from how many n-grams have counts 1 to 4."""
    one, two, three, four = (int(np.count_nonzero(counts == n)) for n in (1, 2, 3, 4))
    if not all((one, two, three, four)):
        return np.array(FALLBACK_DISCOUNTS)
    share = one / (one + 2 * two)
    estimates = (1 - 2 * share * two / one, 2 - 3 * share * three / two, 3 - 4 * share * four / three)
    if not all(0 < estimate < most for most, estimate in enumerate(estimates, start=1)):
        return np.array(FALLBACK_DISCOUNTS)
    return np.array([0.0, *estimates])


def _find(among: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each wanted value stands in a sorted array, and whether it is there at all."""
    at = np.minimum(np.searchsorted(among, wanted), len(among) - 1)
    return at, among[at] == wanted
