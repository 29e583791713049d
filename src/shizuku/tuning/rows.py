"""Examples packed into rows: several to a row, each attending to itself alone, with little padding.

Shapes: B rows, T tokens.
What all examples begin with (the template's system turn) stands once in each row, where it costs what it does
in one example, and every example of the row sees it as its own beginning: losses and gradients are the same.
An epoch shuffles the examples and packs them window by window: inside a window the longest comes first and
goes into the first row with room (first fit, decreasing), then the rows are shuffled. All of it is a pure
function of (seed, epoch), so the order does not depend on the number of processes.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shizuku.data.packing import Batch
from shizuku.data.resuming import check_same_order
from shizuku.errors import ConfigError, DocumentError
from shizuku.tuning.examples import Example

PADDING, SHARED = -1, -2
"""Segments of what is no token, and of what begins every example of a row (models/layers/visibility.py)."""
WINDOW = 1024
"""Examples that are packed together: enough for rows that are nearly full, few enough to stay shuffled."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Tokens that went through a model."""

    tokens: int
    """All but padding; a beginning that a row's examples share counts once."""
    learned: int
    """Those that the loss counted."""
    room: int
    """With padding."""

    @property
    def padding(self) -> float:
        """Share of the room that is padding."""
        return 1 - self.tokens / max(self.room, 1)


class ExampleRows:
    """An endless source of training batches out of examples, epoch after epoch.

    `batch_size` counts the rows of a batch over all processes: process `rank` of `world` takes rows
    rank::world of each. Rows are as long as the longest of their batch. With `share`, what all examples begin
    with stands once in a row; where each example draws random numbers of its own (noise, dropout), or the
    model looks ahead, so that the beginning depends on the rest, leave it out. Raises ConfigError for
    settings that don't fit together, DocumentError without examples or for one longer than `context`.
    """

    def __init__(
        self, examples: Sequence[Example], *, context: int, batch_size: int, seed: int,
        share: bool = True, rank: int = 0, world: int = 1, task: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Begin at the first epoch; `task` is what else a resumed run has to agree in."""
        if not 0 <= rank < world:
            raise ConfigError(f"process {rank} of {world}: the rank must be 0 to {world - 1}")
        if batch_size < 1 or batch_size % world:
            raise ConfigError(f"--batch-size {batch_size}: expected a multiple of the {world} processes")
        self.examples, self.task = _Packed(examples, context, share=share), dict(task or {})
        self.context, self.batch_size, self.seed, self.rank, self.world = (
            context, batch_size, seed, rank, world,
        )  # fmt: skip
        self._rows = 0
        self._ends: list[int] = []
        self._plan_of: tuple[int, list[list[int]]] | None = None

    def next(self) -> Batch:
        """This process's rows of the next batch: B = batch_size / world."""
        rows = [self._row(number) for number in range(self._rows, self._rows + self.batch_size)]
        self._rows += self.batch_size
        mine = rows[self.rank :: self.world]
        # All processes' rows have one length, so that each knows how many tokens a step had.
        return self.examples.batch(mine, length=max(map(self.examples.length, rows)))

    def rows_until(self, epochs: float) -> int:
        """How many rows so many epochs have, the last perhaps in part."""
        whole = int(epochs)
        before = self._end(whole - 1) if whole else 0
        part = epochs - whole
        return before + round(part * (self._end(whole) - before)) if part else before

    def seen(self, rows: int | None = None) -> Seen:
        """What the first `rows` rows hold (none given: those that were given out)."""
        rows = self._rows if rows is None else rows
        tokens = learned = room = 0
        for first in range(0, rows, self.batch_size):
            batch = [self._row(number) for number in range(first, min(first + self.batch_size, rows))]
            tokens += sum(map(self.examples.length, batch))
            learned += sum(int(self.examples.learned[number]) for row in batch for number in row)
            room += len(batch) * max(map(self.examples.length, batch))
        return Seen(tokens, learned, room)

    def state_dict(self) -> dict[str, Any]:
        """All that decides what comes next, for JSON."""
        return {
            **self.task,
            "rows": self._rows,
            "seed": self.seed,
            "context": self.context,
            "examples": len(self.examples.sizes),
            "shared": self.examples.shared,
            "digest": int(self.examples.digest[:13], 16),  # 52 bits: as much as any JSON reader keeps
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken; the number of processes may differ.

        Raises ConfigError when the examples, the context or the seed are not those of the state.
        """
        advice = "the first run's --data, --learn, --context, --seed, noise and dropout"
        check_same_order(state, self.state_dict(), place=("rows",), advice=advice)
        self._rows = int(state["rows"])

    def _row(self, number: int) -> list[int]:
        epoch = self._plan_of[0] if self._plan_of is not None else 0
        if number < self._end(epoch - 1):
            epoch = 0
        while number >= self._end(epoch):
            epoch += 1
        return self._plan(epoch)[number - self._end(epoch - 1)]

    def _end(self, epoch: int) -> int:
        """How many rows the epochs up to and with `epoch` have."""
        while len(self._ends) <= epoch:
            before = self._ends[-1] if self._ends else 0
            self._ends.append(before + len(self._plan(len(self._ends))))
        return self._ends[epoch] if epoch >= 0 else 0

    def _plan(self, epoch: int) -> list[list[int]]:
        if self._plan_of is None or self._plan_of[0] != epoch:
            random = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, epoch])))
            order = random.permutation(len(self.examples.sizes))
            rows: list[list[int]] = []
            for first in range(0, len(order), WINDOW):
                packed = self.examples.rows_of(order[first : first + WINDOW])
                rows += [packed[at] for at in random.permutation(len(packed))]
            self._plan_of = epoch, rows
        return self._plan_of[1]


class HeldoutRows:
    """Goes through examples, each once, packed the same way every time; the last batch may be smaller.

    `share` as for `ExampleRows`.
    """

    def __init__(
        self, examples: Sequence[Example], *, context: int, batch_size: int, share: bool = True
    ) -> None:
        self.examples, self.batch_size = _Packed(examples, context, share=share), batch_size
        self.rows = self.examples.rows_of(np.arange(len(self.examples.sizes)))

    def __len__(self) -> int:
        """How many batches one pass has."""
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """One pass."""
        for first in range(0, len(self.rows), self.batch_size):
            yield self.examples.batch(self.rows[first : first + self.batch_size])


def first_fit(order: np.ndarray, sizes: np.ndarray, room: int) -> list[list[int]]:
    """Rows of the numbers in `order`: the largest first, each into the first row with room for it.

    Equal sizes keep their order. Johnson 1973: at most 11/9 of the fewest rows possible, and a few.
    """
    rows: list[list[int]] = []
    left = np.zeros(len(order), dtype=np.int64)
    for number in order[np.argsort(-sizes[order], kind="stable")]:
        fits = left[: len(rows)] >= sizes[number]
        at = int(fits.argmax()) if fits.any() else len(rows)
        if at == len(rows):
            rows.append([])
            left[at] = room
        rows[at].append(int(number))
        left[at] -= sizes[number]
    return rows


class _Packed:
    """Examples one after another in memory, and rows made of them.

    What stands behind the last token that is learned is left out: nothing is computed from it.
    """

    def __init__(self, examples: Sequence[Example], context: int, *, share: bool = True) -> None:
        if not examples:
            raise DocumentError("there is no example to learn from (--data)")
        if context < 1:
            raise ConfigError(f"the context must be at least 1 token, got {context} (--context)")
        ends = [_end(example) for example in examples]
        sizes = np.array(ends) - 1  # inputs: the last token is a target only
        if sizes.max() > context:
            raise DocumentError(
                f"an example has {sizes.max() + 1:,} tokens, a row has room for {context + 1:,}: raise "
                "--context, or leave long ones out (--too-long drop) or cut them (--too-long cut)"
            )
        self.context, self.shared = context, shared_beginning(examples) if share else 0
        """Tokens of a row, and how many of them are the beginning that all examples share."""
        self.sizes, self.starts = sizes - self.shared, np.concatenate([[0], np.cumsum(ends)])
        pairs = list(zip(examples, ends, strict=True))
        self.ids = np.concatenate([np.array(one.ids[:end], dtype=np.int32) for one, end in pairs])
        self.marks = np.concatenate([np.array(one.learned[:end], dtype=bool) for one, end in pairs])
        self.learned = np.array([sum(one.learned[1:end]) for one, end in pairs])
        self.seconds: np.ndarray | None = None
        """Where the second text of each example begins; None where all are single texts."""
        if any(one.second is not None for one in examples):
            self.seconds = np.array([end if one.second is None else one.second for one, end in pairs])
        seconds = b"" if self.seconds is None else self.seconds.tobytes()
        self.digest = hashlib.sha256(
            self.ids.tobytes() + self.marks.tobytes() + self.starts.tobytes() + seconds
        ).hexdigest()

    def rows_of(self, order: np.ndarray) -> list[list[int]]:
        """Rows of the examples in `order`."""
        return first_fit(order, self.sizes, self.context - self.shared)

    def length(self, row: Sequence[int]) -> int:
        """Tokens of a row without its padding."""
        return self.shared + int(self.sizes[row].sum())

    def batch(self, rows: Sequence[Sequence[int]], length: int | None = None) -> Batch:
        """The rows as arrays, filled up to `length` (the longest row) with segment -1."""
        shape = len(rows), length or max(map(self.length, rows))
        ids_BT, targets_BT, positions_BT = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        mask_BT, segments_BT = np.zeros(shape, dtype=bool), np.full(shape, PADDING, dtype=np.int32)
        ids_BT[:, : self.shared], segments_BT[:, : self.shared] = self.ids[: self.shared], SHARED
        positions_BT[:, : self.shared] = np.arange(self.shared)
        types_BT = None if self.seconds is None else np.zeros(shape, dtype=np.int64)
        for at, row in enumerate(rows):
            end = self.shared
            for segment, number in enumerate(row):
                start, size = self.starts[number] + self.shared, int(self.sizes[number])
                here, inputs = slice(end, end + size), slice(start, start + size)
                following = slice(start + 1, start + size + 1)
                ids_BT[at, here], targets_BT[at, here] = self.ids[inputs], self.ids[following]
                mask_BT[at, here], segments_BT[at, here] = self.marks[following], segment
                positions_BT[at, here] = np.arange(self.shared, self.shared + size)
                if types_BT is not None and self.seconds is not None:
                    types_BT[at, here] = positions_BT[at, here] >= self.seconds[number]
                end += size
        return Batch(ids_BT, targets_BT, mask_BT, segments_BT, positions_BT, types_BT)


def shared_beginning(examples: Sequence[Example]) -> int:
    """How many tokens all examples begin with that lead to nothing learned: what follows each is not."""
    if len(examples) < 2:
        return 0
    shared = min(list(example.learned).index(True, 1) for example in examples) - 1
    first = examples[0].ids
    for example in examples[1:]:
        same = (one == other for one, other in zip(first[:shared], example.ids, strict=False))
        shared = next((at for at, equal in enumerate(same) if not equal), shared)
    return shared


def _end(example: Example) -> int:
    """How many tokens there are up to the last that is learned."""
    if len(example.ids) != len(example.learned):
        raise DocumentError(f"an example has {len(example.ids)} ids, but {len(example.learned)} marks")
    for at in range(len(example.ids) - 1, 0, -1):
        if example.learned[at]:
            return at + 1
    raise DocumentError("an example has nothing to learn: no token of it is marked but perhaps the first")
