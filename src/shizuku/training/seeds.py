"""The same run with several seeds: what is learned, with an interval, instead of one lucky draw."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
    2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045,
)  # fmt: skip
"""97.5 % points of Student's t with 1, 2, … degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds, and the 95 % interval of what it would be over all seeds (Student 1908)."""

    mean: float
    low: float
    high: float
    values: tuple[float, ...]
    """One value a seed."""

    @classmethod
    def of(cls, values: Sequence[float]) -> "Interval":
        """The interval of two values or more, taken as draws from a normal distribution.

        With one value it has no bounds (they are NaN); none at all raise ValueError.
        """
        if not values:
            raise ValueError("an interval needs at least one value")
        count = len(values)
        mean = math.fsum(values) / count
        if count == 1:
            return cls(mean, math.nan, math.nan, tuple(values))
        deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
        quantile = T_975[count - 2] if count - 2 < len(T_975) else 1.96
        half = quantile * deviation / math.sqrt(count)
        return cls(mean, mean - half, mean + half, tuple(values))

    def __str__(self) -> str:
        return f"{self.mean:.4f} ({self.low:.4f} to {self.high:.4f})"
