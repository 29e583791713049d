"""Training and validation batches cut from token shards, with document borders respected.

Shapes: B rows, T tokens of context.
An epoch shuffles the documents, lays them end to end, cuts the result into windows of T + 1 tokens (T inputs
and the T tokens that follow them; neighbours share one token, so that each token is a target once) and
shuffles the windows, so that a batch is not neighbouring pieces of one long document. All of it is a pure
function of (seed, epoch).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from shizuku.data.resuming import check_same_order
from shizuku.data.shards import ShardSet
from shizuku.errors import ConfigError, DocumentError


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of rows for the training loop, as numpy arrays."""

    ids_BT: np.ndarray
    """int64: the inputs."""
    targets_BT: np.ndarray
    """int64: what comes after each input."""
    mask_BT: np.ndarray
    """bool: True where the loss counts."""
    segments_BT: np.ndarray | None
    """int32: document number inside the row, -1 = padding, -2 = what begins all its documents; None = one
    segment a row, no padding.
    """
    positions_BT: np.ndarray | None
    """int64: position inside the segment; None = 0 to T - 1."""
    types_BT: np.ndarray | None = None
    """int64: 0 in the first text of a pair, 1 in the second; None = there are no pairs."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """One epoch's order of documents and windows."""

    documents: np.ndarray
    """int64 [N]: the documents in this epoch's order."""
    starts: np.ndarray
    """int64 [N + 1]: where each of them starts when they are laid end to end."""
    windows: np.ndarray | None
    """int64 [rows]: this epoch's order of windows; None = as they come."""

    @classmethod
    def shuffled(cls, shards: ShardSet, rows: int, seed: int, epoch: int) -> _Plan:
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch])))
        documents = random.permutation(shards.documents)
        lengths = np.diff(shards.offsets)[documents]
        return cls(documents, np.concatenate([[0], np.cumsum(lengths)]), random.permutation(rows))

    @classmethod
    def in_order(cls, shards: ShardSet) -> _Plan:
        return cls(np.arange(shards.documents), np.asarray(shards.offsets), None)

    def locate(self, rows_B: np.ndarray, context: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the windows' tokens stand in the documents laid end to end, and in which document.

        Both int64 [B, T + 1]; what lies past the end is -1 in the second.
        """
        windows_B = rows_B if self.windows is None else self.windows[rows_B]
        at_BT = windows_B[:, None] * context + np.arange(context + 1)
        ordinal_BT = np.searchsorted(self.starts, at_BT, side="right") - 1
        return at_BT, np.where(at_BT < self.starts[-1], ordinal_BT, -1)


class PackedBatches:
    """An endless source of training batches; the order does not depend on the number of processes.

    `batch_size` counts the rows of the batch over all processes: process `rank` of `world` takes rows
    rank::world of each. With `boundaries=False`, segments and positions are None and attention may cross
    documents; the mask is the same: the start token of the next document is a target only where it is also
    the end token. Raises ConfigError for settings that don't fit together, DocumentError for less text than
    one window.
    """

    def __init__(
        self,
        shards: ShardSet,
        *,
        context: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        boundaries: bool = True,
    ) -> None:
        _check_sizes(shards, context, batch_size)
        if not 0 <= rank < world:
            raise ConfigError(f"process {rank} of {world}: the rank must be 0 to {world - 1}")
        if batch_size % world:
            raise ConfigError(
                f"{batch_size} rows a batch cannot be shared equally by {world} processes; "
                f"make --batch-size a multiple of {world}"
            )
        if seed < 0:
            raise ConfigError(f"the seed must be 0 or more, got {seed} (--seed)")
        if shards.tokens <= context:
            raise DocumentError(
                f"a window needs {context + 1} tokens, the text has {shards.tokens} in all; "
                f"lower --context to {shards.tokens - 1} or less, or give more text (--text)"
            )
        self.shards, self.context, self.batch_size, self.seed = shards, context, batch_size, seed
        self.rank, self.world, self.boundaries = rank, world, boundaries
        self.rows_per_epoch = (shards.tokens - 1) // context
        self._rows = 0
        self._plan_of: tuple[int, _Plan] | None = None

    @property
    def epoch(self) -> float:
        """How many times the text has been gone through, as far as the batches given out reach."""
        return self._rows / self.rows_per_epoch

    def next(self) -> Batch:
        """This process's rows of the next batch: B = batch_size / world."""
        rows_B = np.arange(self._rows + self.rank, self._rows + self.batch_size, self.world)
        self._rows += self.batch_size
        parts = [
            self._cut(epoch, rows_B[rows_B // self.rows_per_epoch == epoch]) for epoch in self._epochs(rows_B)
        ]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def records(self, row: int) -> list[str]:
        """The ids of the records that a row's inputs come from, in order; rows count on over the epochs."""
        epoch, row_of_epoch = divmod(row, self.rows_per_epoch)
        plan = self._plan(epoch)
        _, ordinal_BT = plan.locate(np.array([row_of_epoch]), self.context)
        return [
            self.shards.record_of(int(plan.documents[number])) for number in np.unique(ordinal_BT[:, :-1])
        ]

    def pieces_seen(self, rows: int) -> Iterator[np.ndarray]:
        """The tokens that the first `rows` rows are made of, in whole pieces of documents, each token once.

        What a baseline has to be given to have read what the model has read: rows that touch are joined.
        """
        plan = self._plan(0)
        windows = np.arange(self.rows_per_epoch) if plan.windows is None else plan.windows
        taken = np.sort(windows[:rows])
        if not len(taken):
            return
        for run in np.split(taken, np.flatnonzero(np.diff(taken) != 1) + 1):
            start, end = int(run[0]) * self.context, (int(run[-1]) + 1) * self.context
            first = int(np.searchsorted(plan.starts, start, side="right")) - 1
            last = int(np.searchsorted(plan.starts, end, side="left"))
            for number in range(first, last):
                begins = int(plan.starts[number])
                document = self.shards.document(int(plan.documents[number]))
                yield document[max(start - begins, 0) : end - begins]

    def state_dict(self) -> dict[str, int]:
        """All that decides what comes next, as a few integers for JSON."""
        return {
            "rows": self._rows,
            "seed": self.seed,
            "context": self.context,
            "tokens": self.shards.tokens,
            "shards": int(self.shards.digest[:13], 16),  # 52 bits: as much as any JSON reader keeps
        }

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Goes on exactly where `state_dict` was taken; the number of processes and rows a batch may differ.

        Raises ConfigError when the text, the context or the seed are not those of the state.
        """
        advice = "the first run's text, tokenizer, --context and --seed"
        check_same_order(state, self.state_dict(), place=("rows",), advice=advice)
        self._rows = int(state["rows"])

    def _epochs(self, rows_B: np.ndarray) -> range:
        return range(int(rows_B[0]) // self.rows_per_epoch, int(rows_B[-1]) // self.rows_per_epoch + 1)

    def _plan(self, epoch: int) -> _Plan:
        if self._plan_of is None or self._plan_of[0] != epoch:
            self._plan_of = None  # two plans of a large corpus need not be in memory at once
            self._plan_of = epoch, _Plan.shuffled(self.shards, self.rows_per_epoch, self.seed, epoch)
        return self._plan_of[1]

    def _cut(self, epoch: int, rows_B: np.ndarray) -> Batch:
        plan = self._plan(epoch)
        return _cut(self.shards, plan, rows_B - epoch * self.rows_per_epoch, self.context, self.boundaries)


class ValidationBatches:
    """Goes through a shard set in order, each token a target once (but the very first), and can do so again.

    The last row is filled up with padding: mask False, segment -1. The last batch may have fewer rows.
    """

    def __init__(self, shards: ShardSet, *, context: int, batch_size: int, boundaries: bool = True) -> None:
        _check_sizes(shards, context, batch_size)
        if shards.tokens < 2:
            raise DocumentError("the validation text has a single token, which leaves none to predict")
        self.shards, self.context, self.batch_size, self.boundaries = shards, context, batch_size, boundaries
        self.rows = -(-(shards.tokens - 1) // context)

    def __len__(self) -> int:
        """How many batches one pass has."""
        return -(-self.rows // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """One pass from the first token to the last."""
        plan = _Plan.in_order(self.shards)
        for first in range(0, self.rows, self.batch_size):
            rows_B = np.arange(first, min(first + self.batch_size, self.rows))
            yield _cut(self.shards, plan, rows_B, self.context, self.boundaries)


class SomeOf:
    """Validation batches from all over the held-out text, up to a number of tokens: the same ones every
    time.
    """

    def __init__(self, whole: ValidationBatches, tokens: int) -> None:
        self.whole = whole
        wanted = max(tokens // (whole.batch_size * whole.context), 1)
        self.every = max(-(-len(whole) // wanted), 1)

    def __iter__(self) -> Iterator[Batch]:
        """One pass."""
        return itertools.islice(iter(self.whole), 0, None, self.every)


def windows(shards: ShardSet, context: int, batch_size: int, *, boundaries: bool = True) -> ValidationBatches:
    """Every token of a shard set once, for a validation loss: see ValidationBatches."""
    return ValidationBatches(shards, context=context, batch_size=batch_size, boundaries=boundaries)


def _cut(shards: ShardSet, plan: _Plan, rows_B: np.ndarray, context: int, boundaries: bool) -> Batch:
    at_BT, ordinal_BT = plan.locate(rows_B, context)
    real_BT = ordinal_BT >= 0
    start_BT = plan.starts[ordinal_BT]
    stored_BT = shards.offsets[plan.documents[ordinal_BT]] + at_BT - start_BT
    tokens_BT = np.where(real_BT, shards.take(np.where(real_BT, stored_BT, 0)), 0)
    # The start of the next document says nothing about this one, unless it is what ends this one.
    start_counts = shards.document_start_id is not None and shards.document_start_id == shards.eos_id
    mask_BT = real_BT[:, 1:] & (start_counts | (at_BT[:, 1:] != start_BT[:, 1:]))
    segments_BT = positions_BT = None
    if boundaries or not real_BT[:, :-1].all():
        first_B = at_BT[:, :1]
        begins_BT = np.maximum(start_BT, first_B) if boundaries else first_B
        number_BT = ordinal_BT - ordinal_BT[:, :1] if boundaries else np.zeros_like(ordinal_BT)
        segments_BT = np.where(real_BT, number_BT, -1)[:, :-1].astype(np.int32)
        positions_BT = np.where(real_BT, at_BT - begins_BT, 0)[:, :-1]
    return Batch(tokens_BT[:, :-1], tokens_BT[:, 1:], mask_BT, segments_BT, positions_BT)


def _joined(parts: list[Batch]) -> Batch:
    """Rows from two epochs in one batch."""
    return Batch(
        np.concatenate([part.ids_BT for part in parts]),
        np.concatenate([part.targets_BT for part in parts]),
        np.concatenate([part.mask_BT for part in parts]),
        _joined_rows([part.segments_BT for part in parts]),
        _joined_rows([part.positions_BT for part in parts]),
    )


def _joined_rows(parts: list[np.ndarray | None]) -> np.ndarray | None:
    rows = [part for part in parts if part is not None]
    assert len(rows) in (0, len(parts)), "boundaries are the same in every epoch"
    return np.concatenate(rows) if rows else None


def _check_sizes(shards: ShardSet, context: int, batch_size: int) -> None:
    if context < 1:
        raise ConfigError(f"the context must be at least 1 token, got {context} (--context)")
    if batch_size < 1:
        raise ConfigError(f"a batch must have at least 1 row, got {batch_size} (--batch-size)")
