"""From counts to probabilities: add-k, Jelinek-Mercer, Katz, modified Kneser-Ney.

Each method gives, length by length, the probability of every n-gram that was seen and the weight that its
context leaves to the next shorter one (Chen and Goodman 1999 compare them). The token that opens documents
is context, never predicted.

Legend: `N` n-grams of one length, `M` of the next shorter, `V` vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from shizuku.errors import ConfigError
from shizuku.models.ngram import Level, NGramModel
from shizuku.training.counting.counts import Counts, first_tokens, prefixes_of, suffixes

Smoothing = Literal["add-k", "jelinek-mercer", "katz", "kneser-ney"]
FALLBACK_DISCOUNTS = (0.0, 0.5, 1.0, 1.5)
"""Of counts 0, 1, 2, 3 and more, where too few n-grams have small counts to estimate them."""
KATZ_LARGEST = 5
"""Counts up to this are discounted (Katz 1987)."""
EM_STEPS = 20
NOTHING = 1e-12
"""A probability that is rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The counts of one length as a smoothing method sees them."""

    prefixes_N: np.ndarray
    """int64: index of each n-gram's context in the next shorter length."""
    suffixes_N: np.ndarray
    """int64: index of each n-gram without its first token in the next shorter length."""
    counts_N: np.ndarray
    """int64."""
    totals_M: np.ndarray
    """int64: the sum of the counts behind each context."""

    def behind(self, values_N: np.ndarray) -> np.ndarray:
        """Sums of values over the n-grams of each context, float64 [M]."""
        return np.bincount(self.prefixes_N, values_N, len(self.totals_M))


def smooth(
    lengths: Sequence[Counts], smoothing: Smoothing, *, vocab_size: int, start: int | None, k: float = 1.0,
    heldout: Sequence[Counts] = (),
) -> NGramModel:  # fmt: skip
    """A model of these counts.

    `start` is the token that opens documents where it does nothing else, `k` what add-k adds, `heldout` the
    counts of other text, from which Jelinek-Mercer's weights are
    estimated. ConfigError for a method that is unknown or lacks what it needs.
    """
    lengths = list(lengths)
    if smoothing == "add-k":
        return _assembled(lengths, *_add_k(lengths, k, vocab_size, start), start)
    if smoothing == "kneser-ney":
        return _assembled(lengths, *_kneser_ney(lengths, vocab_size, start), start)
    if smoothing == "katz":
        return _assembled(lengths, *_katz(lengths, vocab_size, start), start)
    if smoothing == "jelinek-mercer":
        if not heldout:
            raise ConfigError(
                "--smoothing jelinek-mercer: its weights need held-out text: raise --validation"
            )
        return _assembled(lengths, *_jelinek_mercer(lengths, list(heldout), vocab_size, start), start)
    raise ConfigError(f"--smoothing {smoothing}: expected add-k, jelinek-mercer, katz or kneser-ney")


Levels = tuple[list[np.ndarray], list[np.ndarray]]
"""Probabilities of the n-grams of each length, and the weights that each leaves to the shorter one."""


def _assembled(
    lengths: list[Counts], probabilities: list[np.ndarray], weights: list[np.ndarray], start: int | None
) -> NGramModel:
    if start is not None:
        probabilities[0][start] = 0.0
    levels = []
    with np.errstate(divide="ignore"):
        for number, (counts, probability) in enumerate(zip(lengths, probabilities, strict=True)):
            backoffs = np.log(weights[number]) if number < len(weights) else None
            levels.append(Level(np.asarray(counts.keys_N), np.log(probability), backoffs))
    return NGramModel(levels, unpredicted=start)


def _tables(lengths: list[Counts], counts: list[np.ndarray], vocab_size: int) -> list[Table]:
    """One for each length from two on."""
    found = []
    for number, suffixes_N in enumerate(suffixes(lengths, vocab_size), start=1):
        prefixes_N = prefixes_of(lengths[number], vocab_size)
        totals_M = np.bincount(prefixes_N, counts[number], len(lengths[number - 1].keys_N)).astype(np.int64)
        found.append(Table(prefixes_N, suffixes_N, counts[number], totals_M))
    return found


def _uniform(vocab_size: int, start: int | None) -> np.ndarray:
    found = np.full(vocab_size, 1.0 / (vocab_size - (start is not None)))
    if start is not None:
        found[start] = 0.0
    return found


def _raw(lengths: list[Counts], start: int | None) -> list[np.ndarray]:
    counts = [np.asarray(one.counts_N) for one in lengths]
    if start is not None:
        counts[0] = counts[0].copy()
        counts[0][start] = 0
    return counts


# ---- add-k


def _add_k(lengths: list[Counts], k: float, vocab_size: int, start: int | None) -> Levels:
    """(c + k) / (total + k V) at the longest length; all shorter ones are even chances."""
    if not k > 0:
        raise ConfigError(f"--add {k}: expected more than 0")
    counts, even = _raw(lengths, start), _uniform(vocab_size, start)
    chance = float(even.max())
    if len(lengths) == 1:
        return [(counts[0] + k) * (even > 0) / (counts[0].sum() + k / chance)], []
    probabilities = [even, *(np.full(len(one.keys_N), chance) for one in lengths[1:-1])]
    weights = [np.ones(len(one.keys_N)) for one in lengths[:-1]]
    last = _tables(lengths, counts, vocab_size)[-1]
    spread = last.totals_M + k / chance
    probabilities.append((last.counts_N + k) / spread[last.prefixes_N])
    weights[-1] = (k / chance) / spread
    return probabilities, weights


# ---- modified Kneser-Ney


def _kneser_ney(lengths: list[Counts], vocab_size: int, start: int | None) -> Levels:
    """Interpolated, with three discounts a length (Chen and Goodman 1999, 4.1.6).

    Below the longest length an n-gram counts once for each token that was seen before it; one that opens a
    document has nothing before it, and its own count stays.
    """
    counts = _raw(lengths, start)
    opening = first_tokens(lengths, vocab_size)
    for number, suffixes_N in enumerate(suffixes(lengths, vocab_size)):
        seen_behind = np.bincount(suffixes_N, minlength=len(lengths[number].keys_N))
        starts = opening[number] == start if start is not None else seen_behind == 0
        counts[number] = np.where(starts, counts[number], seen_behind)
    if start is not None:
        counts[0][start] = 0
    discounts = [_discounts(one) for one in counts]
    kept = np.maximum(counts[0] - discounts[0][np.minimum(counts[0], 3)], 0.0) / counts[0].sum()
    probabilities = [kept + (1.0 - kept.sum()) * _uniform(vocab_size, start)]
    weights = []
    for number, table in enumerate(_tables(lengths, counts, vocab_size), start=1):
        taken_N = discounts[number][np.minimum(table.counts_N, 3)]
        kept_N = np.maximum(table.counts_N - taken_N, 0.0)
        safe_M = np.maximum(table.totals_M, 1)
        weight_M = np.where(table.totals_M > 0, 1.0 - table.behind(kept_N) / safe_M, 1.0)
        probabilities.append(
            kept_N / safe_M[table.prefixes_N]
            + weight_M[table.prefixes_N] * probabilities[-1][table.suffixes_N]
        )
        weights.append(weight_M)
    return probabilities, weights


def _discounts(counts_N: np.ndarray) -> np.ndarray:
    """What is taken off counts of 0, 1, 2, and 3 or more, float64 [4]."""
    ones, twos, threes, fours = (int((counts_N == count).sum()) for count in (1, 2, 3, 4))
    if not (ones and twos and threes):
        return np.array(FALLBACK_DISCOUNTS)
    y = ones / (ones + 2 * twos)
    found = (1 - 2 * y * twos / ones, 2 - 3 * y * threes / twos, 3 - 4 * y * fours / threes)
    if not all(0 < discount < size for size, discount in enumerate(found, start=1)):
        return np.array(FALLBACK_DISCOUNTS)
    return np.array([0.0, *found])


# ---- Katz


def _katz(lengths: list[Counts], vocab_size: int, start: int | None) -> Levels:
    """Good-Turing discounts up to KATZ_LARGEST; what they free goes to what was not seen behind a context."""
    counts = _raw(lengths, start)
    ratios, total = _good_turing(counts[0]), counts[0].sum()
    kept = counts[0] * ratios[np.minimum(counts[0], KATZ_LARGEST + 1)] / total
    unseen = (counts[0] == 0) & (_uniform(vocab_size, start) > 0)
    if not unseen.any():
        kept /= kept.sum()
    elif 1.0 - kept.sum() <= NOTHING:
        kept *= total / (total + 1)
    probabilities = [np.where(unseen, (1.0 - kept.sum()) / max(unseen.sum(), 1), kept)]
    weights = []
    for number, table in enumerate(_tables(lengths, counts, vocab_size), start=1):
        ratios = _good_turing(counts[number])
        safe_M = np.maximum(table.totals_M, 1)
        shares_N = table.counts_N / safe_M[table.prefixes_N]
        probability_N = shares_N * ratios[np.minimum(table.counts_N, KATZ_LARGEST + 1)]
        free_M = 1.0 - table.behind(probability_N)
        # What the shorter context gives to tokens that were not seen behind the longer one.
        left_M = 1.0 - table.behind(probabilities[-1][table.suffixes_N])
        everything_M, large_M = left_M <= NOTHING, free_M <= NOTHING
        # Where all tokens were seen there is nothing to leave to others; where only large counts were, which
        # are not discounted, one occurrence of something else is added.
        sums_M = np.where(everything_M, 1.0 - free_M, np.where(large_M, 1.0 + 1.0 / safe_M, 1.0))
        probability_N = probability_N / np.where(table.totals_M > 0, sums_M, 1.0)[table.prefixes_N]
        free_M = 1.0 - table.behind(probability_N)
        weight_M = np.where(everything_M, 0.0, free_M / np.where(everything_M, 1.0, left_M))
        probabilities.append(probability_N)
        weights.append(np.where(table.totals_M > 0, weight_M, 1.0))
    return probabilities, weights


def _good_turing(counts_N: np.ndarray) -> np.ndarray:
    """Share of its count that an n-gram keeps, by count, float64 [KATZ_LARGEST + 2]; the last is 1.

    Too few n-grams give estimates that are no discount; such counts are left as they are.
    """
    numbers = np.array([(counts_N == count).sum() for count in range(KATZ_LARGEST + 2)], dtype=np.float64)
    ratios = np.ones(KATZ_LARGEST + 2)
    if not numbers[1]:
        return ratios
    beyond = (KATZ_LARGEST + 1) * numbers[-1] / numbers[1]
    for count in range(1, KATZ_LARGEST + 1):
        if numbers[count] and beyond < 1:
            expected = (count + 1) * numbers[count + 1] / numbers[count] / count
            ratio = (expected - beyond) / (1 - beyond)
            ratios[count] = ratio if 0 < ratio <= 1 else 1.0
    return ratios


# ---- Jelinek-Mercer


def _jelinek_mercer(
    lengths: list[Counts], heldout: list[Counts], vocab_size: int, start: int | None
) -> Levels:
    """Maximum likelihood, mixed with the shorter context by weights that held-out text finds likeliest.

    Contexts share a weight with others that were seen about as often (powers of two), as Bahl, Jelinek and
    Mercer 1983 bucket them.
    """
    counts = _raw(lengths, start)
    total = counts[0].sum()
    even = _uniform(vocab_size, start)
    shares_V = counts[0] / total
    seen = np.asarray(heldout[0].counts_N, dtype=np.float64) * (even > 0)
    share = _weight(shares_V, even, seen)
    probabilities = [(1 - share) * shares_V + share * even]
    weights: list[np.ndarray] = []
    keys = [np.asarray(one.keys_N) for one in lengths]
    held_at = [np.arange(vocab_size)]
    held_probability = probabilities[0].copy()
    for number, table in enumerate(_tables(lengths, counts, vocab_size), start=1):
        safe_M = np.maximum(table.totals_M, 1)
        shares_N = table.counts_N / safe_M[table.prefixes_N]
        # The held-out n-grams, in this model's numbers.
        other = heldout[number]
        prefixes, tokens = np.divmod(other.keys_N, np.uint64(vocab_size))
        context = held_at[-1][prefixes.astype(np.int64)]
        level = Level(keys[number], keys[number])
        at = level.find(context, tokens.astype(np.int64), vocab_size)
        shorter = _suffix_probability(heldout, number, held_probability, vocab_size)
        longer = np.where(at >= 0, shares_N[at] if len(shares_N) else 0.0, 0.0)
        known = (context >= 0) & (table.totals_M[np.maximum(context, 0)] > 0)
        bucket_M = np.floor(np.log2(safe_M)).astype(np.int64)
        weight_of = np.full(int(bucket_M.max(initial=0)) + 1, 0.5)
        for bucket in range(len(weight_of)):
            here = known & (bucket_M[np.maximum(context, 0)] == bucket)
            if here.any():
                weight_of[bucket] = _weight(longer[here], shorter[here], other.counts_N[here].astype(float))
        weight_M = np.where(table.totals_M > 0, weight_of[bucket_M], 1.0)
        mixing = np.where(known, weight_M[np.maximum(context, 0)], 1.0)
        held_probability = (1 - mixing) * longer + mixing * shorter
        held_at.append(at)
        probabilities.append(
            (1 - weight_M[table.prefixes_N]) * shares_N
            + weight_M[table.prefixes_N] * probabilities[-1][table.suffixes_N]
        )
        weights.append(weight_M)
    return probabilities, weights


def _suffix_probability(
    heldout: list[Counts], number: int, shorter: np.ndarray, vocab_size: int
) -> np.ndarray:
    """What the next shorter length says of each held-out n-gram's last token."""
    return shorter[suffixes(heldout[: number + 1], vocab_size)[-1]]


def _weight(longer: np.ndarray, shorter: np.ndarray, counts: np.ndarray) -> float:
    """The share of the shorter model in the mixture under which `counts` are likeliest, by EM."""
    weight, total = 0.5, counts.sum()
    if not total:
        return weight
    for _ in range(EM_STEPS):
        mixed = weight * shorter + (1 - weight) * longer
        weight = float((counts * weight * shorter / np.maximum(mixed, 1e-300)).sum() / total)
    return min(max(weight, 1e-4), 1 - 1e-4)
