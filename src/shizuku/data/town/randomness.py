"""A seeded source of choices that counts the information in what it chooses.

Only `random.Random.random` is used: its stream for an integer seed is the Mersenne Twister's and the same in
every Python on every platform; `choice`, `shuffle` and `sample` have changed between versions.
"""

import math
import random
from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

_LOG2 = [0.0] + [math.log2(n) for n in range(1, 4097)]


def seed_of(*key: int | str) -> int:
    """A 128-bit integer that depends on the key's parts and on nothing else."""
    text = "\x1f".join(str(part) for part in key)
    return int.from_bytes(blake2b(text.encode("utf-8"), digest_size=16).digest(), "big")


class Choices:
    """Random choices that depend on `key` only; `bits` is the sum of -log2 of their probabilities."""

    __slots__ = ("_random", "bits")

    def __init__(self, *key: int | str) -> None:
        self._random = random.Random(seed_of(*key)).random
        self.bits = 0.0

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1, each as likely."""
        if n == 1:
            return 0
        self.bits += _LOG2[n] if n <= 4096 else math.log2(n)
        return int(self._random() * n)

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + self.below(high - low + 1)

    def of(self, items: Sequence[T]) -> T:
        """One of the items, each as likely."""
        return items[self.below(len(items))]

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        if probability <= 0.0 or probability >= 1.0:
            return probability >= 1.0
        happened = self._random() < probability
        self.bits -= math.log2(probability if happened else 1.0 - probability)
        return happened

    def weighted(self, items: Sequence[T], weights: Sequence[float]) -> T:
        """One of the items, as likely as its weight says."""
        total = float(sum(weights))
        point = self._random() * total
        chosen = 0
        for weight in weights[:-1]:
            point -= weight
            if point < 0.0:
                break
            chosen += 1
        self.bits -= math.log2(weights[chosen] / total)
        return items[chosen]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items in random order (all of them if there are fewer)."""
        pool = list(items)
        count = min(count, len(pool))
        for i in range(count):
            j = i + self.below(len(pool) - i)
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:count]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All items in random order."""
        return self.some(items, len(items))
