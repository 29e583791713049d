"""Whether a model is right as often as it says (Guo et al. 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Items of which the model is about equally sure."""

    low: float
    """Lowest probability of the bin."""
    high: float
    """Highest."""
    items: int
    """How many there are."""
    stated: float
    """Mean probability that the model gives its own choice."""
    observed: float
    """Share of the items in which its choice is right."""


def reliability(
    stated: np.ndarray, right: np.ndarray, *, bins: int = BINS, low: float = 0.0
) -> tuple[Bin, ...]:
    """Bins of equal width between `low` and 1 that have items: stated probabilities against what was right.

    The upper edge of a bin belongs to the next one.
    """
    edges = np.linspace(low, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, stated, side="right") - 1, 0, bins - 1)
    found = []
    for number in range(bins):
        here = place == number
        if here.any():
            found.append(
                Bin(
                    float(edges[number]), float(edges[number + 1]), int(here.sum()),
                    float(stated[here].mean()), float(right[here].mean()),
                )
            )  # fmt: skip
    return tuple(found)


def calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance of stated and observed shares, weighed by the items of each bin (ECE)."""
    total = sum(each.items for each in bins)
    return sum(each.items * abs(each.stated - each.observed) for each in bins) / total
