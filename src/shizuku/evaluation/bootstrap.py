"""Intervals of a mean over items, and of the difference of two on the same items (Efron 1979)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shizuku.errors import ConfigError

DRAWS = 10_000
_AT_ONCE = 4_000_000
"""Numbers drawn at once at most: 32 MB."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over items and its 95 % interval over other draws of such items."""

    mean: float
    low: float
    high: float
    items: int
    """How many items it is the mean of."""

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def bootstrap(values: Sequence[float] | np.ndarray, *, seed: int = 0, draws: int = DRAWS) -> Estimate:
    """The mean of `values`, one an item, and the 2.5 and 97.5 % points of the means of redrawn items.

    For the paired difference of two models give the differences item by item. The interval says nothing of
    other seeds of training. ConfigError without items, and for values that are NaN or infinite.
    """
    items = np.asarray(values, dtype=np.float64)
    if items.ndim != 1 or not len(items):
        raise ConfigError(f"an interval needs a value for each of one or more items, found {items.shape}")
    if not np.isfinite(items).all():
        raise ConfigError("an interval needs finite values: some are NaN or infinite")
    random = np.random.default_rng(seed)
    size = max(1, _AT_ONCE // len(items))
    means = np.concatenate(
        [
            items[random.integers(0, len(items), (min(size, draws - first), len(items)))].mean(axis=1)
            for first in range(0, draws, size)
        ]
    )
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(float(items.mean()), float(low), float(high), len(items))


def bootstrap_ratio(
    over: Sequence[float] | np.ndarray, under: Sequence[float] | np.ndarray, *, seed: int = 0,
    draws: int = DRAWS,
) -> Estimate:  # fmt: skip
    """sum(over) / sum(under), as of nats over tokens, with items redrawn together; raises as `bootstrap`."""
    pairs = np.stack([np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64)], axis=1)
    if not len(pairs) or not np.isfinite(pairs).all() or not (pairs[:, 1] > 0).all():
        raise ConfigError("a ratio needs items with finite values and counts above 0")
    random = np.random.default_rng(seed)
    ratios = np.empty(draws)
    for draw in range(draws):
        sums = pairs[random.integers(0, len(pairs), len(pairs))].sum(axis=0)
        ratios[draw] = sums[0] / sums[1]
    low, high = np.quantile(ratios, (0.025, 0.975))
    whole = pairs.sum(axis=0)
    return Estimate(float(whole[0] / whole[1]), float(low), float(high), len(pairs))
