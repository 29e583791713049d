"""Pairs of sentences as token ids, and in which order they are learned from.

`N` pairs.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shizuku.errors import CheckpointError
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer

POOL = 64
"""Batches whose sentences are sorted by length together; between pools the order is random."""


@dataclass(frozen=True, slots=True)
class Side:
    """One language: the tokens of all sentences, one behind the other."""

    ids: np.ndarray
    """int32."""
    ends: np.ndarray
    """int64 [N]: where each sentence ends."""

    @classmethod
    def of(cls, sentences: Iterable[Sequence[int]]) -> "Side":
        """Put sentences together."""
        rows = [np.asarray(sentence, dtype=np.int32) for sentence in sentences]
        ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
        return cls(np.concatenate(rows) if rows else np.zeros(0, np.int32), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> np.ndarray:
        """The tokens of one sentence."""
        return self.ids[0 if number == 0 else self.ends[number - 1] : self.ends[number]]

    @property
    def lengths(self) -> np.ndarray:
        """How many tokens each sentence has, int64 [N]."""
        return np.diff(self.ends, prepend=0)


@dataclass(frozen=True, slots=True)
class PairTokens:
    """Sentences in two languages, as the tokens that text makes, without beginnings and ends."""

    source: Side
    """Number n of the one …"""
    target: Side
    """… says what number n of the other says."""

    def __len__(self) -> int:
        return len(self.source)

    @property
    def digest(self) -> str:
        """What names exactly these tokens, in hex."""
        found = hashlib.blake2b(digest_size=16)
        for side in (self.source, self.target):
            found.update(side.ends.tobytes())
            found.update(side.ids.tobytes())
        return found.hexdigest()

    def record(self) -> dict[str, object]:
        """What run.json says of them."""
        return {
            "digest": self.digest,
            "sentences": len(self),
            "source_tokens": len(self.source.ids),
            "target_tokens": len(self.target.ids),
        }

    def save(self, path: Path) -> None:
        """Write them to a .npz file."""
        held = io.BytesIO()
        parts = {"source": self.source, "target": self.target}
        np.savez(
            held, **{f"{n}_{what}": getattr(s, what) for n, s in parts.items() for what in ("ids", "ends")}
        )
        path.write_bytes(held.getvalue())

    @classmethod
    def load(cls, path: Path) -> "PairTokens":
        """Read what `save` wrote; CheckpointError for a file that is damaged."""
        try:
            with np.load(path, allow_pickle=False) as found:
                return cls(
                    *(Side(found[f"{side}_ids"], found[f"{side}_ends"]) for side in ("source", "target"))
                )
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"{path} is damaged ({error}): start anew with another --out") from error


def tokenised(
    pairs: Sequence[tuple[str, str]], tokenizer: Tokenizer, *, longest: int, problems: Problems
) -> PairTokens:
    """The tokens of each pair; those with a side of more than `longest` tokens are left out and counted."""
    sides = [tokenizer.encode_batch([pair[side] for pair in pairs]) for side in (0, 1)]
    kept = []
    for number, (source, target) in enumerate(zip(*sides, strict=True)):
        if max(len(source), len(target)) > longest:
            problems.add(f"more than {longest} tokens", f"pair {number + 1}")
        elif not source or not target:
            problems.add("no tokens on one side", f"pair {number + 1}")
        else:
            kept.append((source, target))
    return PairTokens(Side.of(source for source, _ in kept), Side.of(target for _, target in kept))


def held_out(
    pairs: Sequence[tuple[str, str]], share: float, seed: int
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The pairs without about a `share` of the sources, and those; what stands twice is on one side."""
    kept: list[tuple[str, str]] = []
    apart: list[tuple[str, str]] = []
    for pair in pairs:
        drawn = hashlib.blake2b(f"{seed} {pair[0]}".encode(), digest_size=8).digest()
        (apart if int.from_bytes(drawn) < share * 2**64 else kept).append(pair)
    return kept, apart


def batches(pairs: PairTokens, budget: int, generator: np.random.Generator | None) -> list[np.ndarray]:
    """The numbers of the pairs in each batch, every pair once.

    A batch has at most `budget` tokens, padding and a beginning or end for each sentence counted (one pair
    where even that is more). With a generator pairs are drawn in a random order, sorted by length within
    pools, and the batches of a pool shuffled; without one they are sorted throughout.
    """
    source, target = pairs.source.lengths + 1, pairs.target.lengths + 1
    order = np.arange(len(pairs)) if generator is None else generator.permutation(len(pairs))
    mean = float((source + target).mean()) if len(pairs) else 1.0
    size = len(pairs) if generator is None else max(1, int(POOL * budget / mean))
    found: list[np.ndarray] = []
    for start in range(0, len(order), max(size, 1)):
        pool = order[start : start + size]
        pool = pool[np.lexsort((source[pool], target[pool]))]
        cut = list(_cut(pool, source, target, budget))
        if generator is not None:
            generator.shuffle(cut)
        found += cut
    return found


def _cut(pool: np.ndarray, source: np.ndarray, target: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    start = longest_source = longest_target = 0
    for at, number in enumerate(pool):
        wider = max(longest_source, int(source[number])), max(longest_target, int(target[number]))
        if at > start and sum(wider) * (at + 1 - start) > budget:
            yield pool[start:at]
            start, wider = at, (int(source[number]), int(target[number]))
        longest_source, longest_target = wider
    if len(pool) > start:
        yield pool[start:]
