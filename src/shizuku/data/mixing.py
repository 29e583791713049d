"""Batches whose rows come from several sources, as text beside conversations.

Shapes: B rows, T tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from shizuku.data.packing import Batch
from shizuku.errors import ConfigError

PADDING = -1
"""Segment of what is no token."""


class Rows(Protocol):
    """A source of rows: text in windows, or packed examples."""

    def next(self) -> Batch:
        """The next rows."""
        ...

    def state_dict(self) -> Mapping[str, Any]:
        """What decides all further rows."""
        ...

    def load_state_dict(self, state: Any) -> None:
        """Go on where `state_dict` was taken."""
        ...


class MixedBatches:
    """An endless source: each batch has the next rows of every part, the shorter ones filled with padding."""

    def __init__(self, parts: Sequence[Rows]) -> None:
        self.parts = list(parts)

    def next(self) -> Batch:
        """The parts' rows, one under another."""
        return stacked([part.next() for part in self.parts])

    def state_dict(self) -> dict[str, Any]:
        """All that decides what comes next, for JSON."""
        return {"parts": [dict(part.state_dict()) for part in self.parts]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken; ConfigError if that was another mixture."""
        states = state.get("parts", [])
        if len(states) != len(self.parts):
            raise ConfigError(
                f"cannot go on in the same order: the mixture had {len(states)} sources and has now "
                f"{len(self.parts)}; start anew (--out)"
            )
        for part, one in zip(self.parts, states, strict=True):
            part.load_state_dict(one)


def stacked(batches: Sequence[Batch]) -> Batch:
    """One batch of all rows; rows without segments become one segment each."""
    length = max(batch.ids_BT.shape[1] for batch in batches)
    whole = [_filled(batch, length) for batch in batches]
    return Batch(*(np.concatenate(arrays) for arrays in zip(*whole, strict=True)))


def _filled(batch: Batch, length: int) -> tuple[np.ndarray, ...]:
    segments_BT, positions_BT = batch.segments_BT, batch.positions_BT
    if segments_BT is None:
        segments_BT = np.zeros(batch.ids_BT.shape, dtype=np.int32)
    if positions_BT is None:
        positions_BT = np.broadcast_to(np.arange(batch.ids_BT.shape[1]), batch.ids_BT.shape)
    room = ((0, 0), (0, length - batch.ids_BT.shape[1]))
    return (
        np.pad(batch.ids_BT, room),
        np.pad(batch.targets_BT, room),
        np.pad(batch.mask_BT, room),
        np.pad(segments_BT, room, constant_values=PADDING),
        np.pad(positions_BT, room),
    )
