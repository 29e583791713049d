"""Batches of preference pairs: the sides of several pairs share rows, each attending to itself alone.

Legend: `B` rows, `T` tokens, `P` pairs.
An epoch shuffles the pairs; a batch takes the next ones, and its rows are as many and as long as leave the
least padding. All of it is a pure function of (seed, epoch), so the order does not depend on the number of
processes.
"""

import hashlib
import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from shizuku.data.resuming import check_same_order
from shizuku.errors import ConfigError, DocumentError
from shizuku.tuning.examples import Example
from shizuku.tuning.pair_examples import EncodedPair
from shizuku.tuning.rows import Seen


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Both sides of P pairs in B rows; side 2 p is the chosen answer of pair p, 2 p + 1 the rejected one."""

    ids_BT: Tensor
    """int64: the inputs."""
    targets_BT: Tensor
    """int64: what comes after each input."""
    mask_BT: Tensor
    """bool: True where the target is of an answer."""
    segments_BT: Tensor
    """int64: number of the side inside the row, -1 = padding."""
    positions_BT: Tensor
    """int64: position inside the side."""
    sides_BT: Tensor
    """int64: number of the side inside the batch, -1 = padding."""
    reference_P2: Tensor | None = None
    """float32: the reference's log-probabilities of the chosen and the rejected answers, in nats."""

    def to(self, device: torch.device) -> "PairBatch":
        """The same batch on `device`."""
        return PairBatch(**{name: tensor.to(device) for name, tensor in self.tensors().items()})

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and tokens in a row."""
        return self.ids_BT.shape[0], self.ids_BT.shape[1]

    @property
    def pairs(self) -> int:
        """P."""
        return (int(self.sides_BT.max()) + 1) // 2

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are there, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


class PairTable:
    """Encoded pairs, their reference's log-probabilities where known, and batches made of them.

    What stands behind the last token that is learned is left out: nothing is computed from it. Raises
    DocumentError without pairs, or for a side longer than `context`.
    """

    def __init__(
        self, pairs: Sequence[EncodedPair], *, context: int, reference: np.ndarray | None = None
    ) -> None:
        if not pairs:
            raise DocumentError("there is no pair to learn from (--data)")
        if reference is not None and reference.shape != (len(pairs), 2):
            raise ConfigError(f"the reference has {reference.shape} log-probabilities, expected 2 a pair")
        sides = [_trimmed(side) for pair in pairs for side in (pair.chosen, pair.rejected)]
        self.sides, self.context, self.reference_N2 = sides, context, reference
        self.sizes = np.array([len(side.ids) - 1 for side in sides])
        self.answer_tokens = np.array([sum(side.learned[1:]) for side in sides])
        if self.sizes.max() > context:
            raise DocumentError(
                f"a pair has a side of {self.sizes.max() + 1:,} tokens, there is room for {context + 1:,}: "
                "raise --context, or leave long ones out (--too-long drop) or cut them (--too-long cut)"
            )
        text = json.dumps([[side.ids, [int(yes) for yes in side.learned]] for side in sides])
        self.digest = hashlib.sha256(text.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.sizes) // 2

    def layout(self, numbers: Sequence[int]) -> list[list[int]]:
        """Rows of sides (by their number in the batch), as many and as long as leave the least padding."""
        sizes = self.sizes[[2 * number + side for number in numbers for side in (0, 1)]]
        best: tuple[int, list[list[int]]] | None = None
        for count in range(len(sizes), 0, -1):  # of equals the most rows: attention is cheaper there
            rows, longest = _shared_out(sizes, count)
            if longest > self.context:
                break
            if best is None or count * longest < best[0]:
                best = count * longest, rows
        assert best is not None, "a row for each side always fits"
        return best[1]

    def seen(self, numbers: Sequence[int]) -> Seen:
        """What a batch of these pairs holds."""
        sides = [2 * number + side for number in numbers for side in (0, 1)]
        rows, sizes = self.layout(numbers), self.sizes[sides]
        room = len(rows) * max(int(sizes[row].sum()) for row in rows)
        return Seen(int(sizes.sum()), int(self.answer_tokens[sides].sum()), room)

    def batch(self, numbers: Sequence[int]) -> PairBatch:
        """The pairs of these numbers as tensors."""
        rows = self.layout(numbers)
        here = [self.sides[2 * number + side] for number in numbers for side in (0, 1)]
        shape = len(rows), max(sum(len(here[side].ids) - 1 for side in row) for row in rows)
        ids_BT, targets_BT, positions_BT = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        segments_BT, sides_BT = (np.full(shape, -1, dtype=np.int64) for _ in range(2))
        mask_BT = np.zeros(shape, dtype=bool)
        for at, row in enumerate(rows):
            end = 0
            for segment, side in enumerate(row):
                example = here[side]
                place = slice(end, end + len(example.ids) - 1)
                ids_BT[at, place], targets_BT[at, place] = example.ids[:-1], example.ids[1:]
                mask_BT[at, place], positions_BT[at, place] = example.learned[1:], np.arange(place.stop - end)
                segments_BT[at, place], sides_BT[at, place] = segment, side
                end = place.stop
        reference_P2 = None
        if self.reference_N2 is not None:
            reference_P2 = torch.from_numpy(self.reference_N2[list(numbers)].astype(np.float32))
        return PairBatch(
            ids_BT=torch.from_numpy(ids_BT),
            targets_BT=torch.from_numpy(targets_BT),
            mask_BT=torch.from_numpy(mask_BT),
            segments_BT=torch.from_numpy(segments_BT),
            positions_BT=torch.from_numpy(positions_BT),
            sides_BT=torch.from_numpy(sides_BT),
            reference_P2=reference_P2,
        )


class Table(Protocol):
    """Pairs that batches are made of."""

    @property
    def digest(self) -> str:
        """What names exactly these pairs."""
        ...

    def __len__(self) -> int: ...

    def batch(self, numbers: Sequence[int]) -> Any:
        """The pairs of these numbers as a batch of tensors."""
        ...

    def seen(self, numbers: Sequence[int]) -> Seen:
        """What a batch of these pairs holds."""
        ...


class PairRows:
    """An endless source of training batches out of pairs, epoch after epoch.

    `batch_size` counts the pairs of a batch over all processes: process `rank` of `world` takes pairs
    rank::world of each. `task` is what else decides the result (the loss, the reference): a run that goes on
    must have the same. Raises ConfigError for settings that don't fit together.
    """

    def __init__(
        self, table: Table, *, batch_size: int, seed: int, task: Mapping[str, Any] | None = None,
        rank: int = 0, world: int = 1,
    ) -> None:  # fmt: skip
        if not 0 <= rank < world:
            raise ConfigError(f"process {rank} of {world}: the rank must be 0 to {world - 1}")
        if batch_size < 1 or batch_size % world:
            raise ConfigError(f"--batch-size {batch_size}: expected a multiple of the {world} processes")
        self.table, self.batch_size, self.seed, self.rank, self.world = table, batch_size, seed, rank, world
        self.task = json.loads(json.dumps(dict(task or {})))
        self._taken = 0
        self._order_of: tuple[int, np.ndarray] | None = None

    def next(self) -> Any:
        """This process's pairs of the next batch: P = batch_size / world."""
        numbers = self.numbers(self._taken, self.batch_size)
        self._taken += self.batch_size
        return self.table.batch(numbers[self.rank :: self.world])

    def numbers(self, first: int, count: int) -> list[int]:
        """Which pairs come as number `first` and the `count` - 1 after it, over all epochs."""
        found = []
        for at in range(first, first + count):
            epoch, inside = divmod(at, len(self.table))
            if self._order_of is None or self._order_of[0] != epoch:
                random = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, epoch])))
                self._order_of = epoch, random.permutation(len(self.table))
            found.append(int(self._order_of[1][inside]))
        return found

    def distinct(self, count: int) -> list[int]:
        """Which pairs are among the first `count` of the source, each once."""
        if count >= len(self.table):
            return list(range(len(self.table)))
        return sorted(self.numbers(0, count))

    def seen(self, pairs: int | None = None) -> Seen:
        """What the first `pairs` pairs hold (none given: those that were given out)."""
        count = self._taken if pairs is None else pairs
        batches = [
            self.table.seen(self.numbers(first, self.batch_size))
            for first in range(0, count, self.batch_size)
        ]
        return Seen(*(sum(getattr(one, name) for one in batches) for name in ("tokens", "learned", "room")))

    def state_dict(self) -> dict[str, Any]:
        """All that decides what comes next, for JSON."""
        return {"pairs": self._taken, "seed": self.seed, "digest": self.table.digest, **self.task}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken; the number of processes may differ.

        Raises ConfigError when the pairs, the seed or the task are not those of the state.
        """
        advice = "the first run's --data, --context, --seed and settings of the loss"
        check_same_order(state, self.state_dict(), place=("pairs",), advice=advice)
        self._taken = int(state["pairs"])


class HeldoutPairs:
    """Goes through pairs, each once, in the same batches every time; the last may be smaller."""

    def __init__(self, table: PairTable, *, batch_size: int, numbers: Sequence[int] | None = None) -> None:
        """Go through the pairs of these `numbers`, or all."""
        lengths = table.sizes.reshape(-1, 2).sum(1)
        chosen = range(len(table)) if numbers is None else numbers
        self.table, self.batch_size = table, batch_size
        self.order = sorted(chosen, key=lambda number: int(lengths[number]))  # for little padding

    def __len__(self) -> int:
        """How many batches one pass has."""
        return -(-len(self.order) // self.batch_size)

    def numbers(self) -> Iterator[list[int]]:
        """The pairs of each batch, by their place in the table."""
        for first in range(0, len(self.order), self.batch_size):
            yield self.order[first : first + self.batch_size]

    def __iter__(self) -> Iterator[PairBatch]:
        """One pass."""
        return map(self.table.batch, self.numbers())


def _shared_out(sizes: np.ndarray, count: int) -> tuple[list[list[int]], int]:
    """`count` rows and the length of the longest: largest side first, each into the shortest row."""
    rows: list[tuple[int, int, list[int]]] = [(0, at, []) for at in range(count)]
    for number in np.argsort(-sizes, kind="stable"):
        length, at, row = heapq.heappop(rows)
        row.append(int(number))
        heapq.heappush(rows, (length + int(sizes[number]), at, row))
    rows.sort(key=lambda one: one[1])
    return [row for _, _, row in rows], max(length for length, _, _ in rows)


def _trimmed(side: Example) -> Example:
    """The side up to its last token that is learned."""
    for at in range(len(side.ids) - 1, 0, -1):
        if side.learned[at]:
            return Example(side.ids[: at + 1], side.learned[: at + 1])
    raise DocumentError("a side of a pair has no answer: no token of it is marked but perhaps the first")
