"""What the loop takes from a source, and the tensors that it hands to the objective.

Legend: `B` rows, `T` tokens.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from shizuku.data.packing import Batch


@runtime_checkable
class DeviceBatch(Protocol):
    """Any batch of tensors: token rows, preference pairs, rollouts."""

    def to(self, device: torch.device) -> Self:
        """The same batch on `device`."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name, for saving a batch that made training stop."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and tokens in a row, that go through the model."""
        ...


class BatchSource(Protocol):
    """Endless batches in an order that its state decides: shards, pairs, or rollouts."""

    def next(self) -> Batch | DeviceBatch:
        """The next batch."""
        ...

    def state_dict(self) -> Mapping[str, Any]:
        """What decides all further batches, as JSON values."""
        ...

    def load_state_dict(self, state: Any) -> None:
        """Go on where `state_dict` was taken."""
        ...


@dataclass(frozen=True, slots=True)
class TensorBatch:
    """`Batch` as tensors on a device."""

    ids_BT: Tensor
    """int64: the inputs."""
    targets_BT: Tensor
    """int64: what comes after each input."""
    mask_BT: Tensor
    """bool: True where the loss counts."""
    segments_BT: Tensor | None = None
    """int64: document number inside the row, -1 = padding, -2 = what begins all its documents; None = one
    segment a row, no padding.
    """
    positions_BT: Tensor | None = None
    """int64: position inside the segment; None = 0 to T - 1."""
    types_BT: Tensor | None = None
    """int64: 0 in the first text of a pair, 1 in the second; None = there are no pairs."""

    def to(self, device: torch.device) -> "TensorBatch":
        """The same batch on `device`."""
        return TensorBatch(**{name: tensor.to(device) for name, tensor in self.tensors().items()})

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and tokens in a row."""
        return self.ids_BT.shape[0], self.ids_BT.shape[1]

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are there, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def on_device(batch: Batch | DeviceBatch, device: torch.device) -> DeviceBatch:
    """A source's batch as tensors on `device`."""
    if not isinstance(batch, Batch):
        return batch.to(device)

    def tensor(array: np.ndarray | None) -> Tensor | None:
        if array is None:
            return None
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64)).to(device)

    ids_BT, targets_BT = tensor(batch.ids_BT), tensor(batch.targets_BT)
    assert ids_BT is not None and targets_BT is not None, "a batch has inputs and targets"
    mask_BT = torch.from_numpy(np.ascontiguousarray(batch.mask_BT)).to(device)
    layout = map(tensor, (batch.segments_BT, batch.positions_BT, batch.types_BT))
    return TensorBatch(ids_BT, targets_BT, mask_BT, *layout)


def peek(source: BatchSource, count: int) -> list[Batch | DeviceBatch]:
    """The next batches, left in the source."""
    state = copy.deepcopy(dict(source.state_dict()))
    batches = [source.next() for _ in range(count)]
    source.load_state_dict(state)
    return batches


def outline(source: BatchSource) -> tuple[tuple[int, int], bool]:
    """Rows and tokens of the source's batches, and whether rows have segments.

    A source that can't make a batch ahead of its time, such as one of rollouts, says the `largest` itself.
    """
    largest = getattr(source, "largest", None)
    if largest is not None:
        return largest, True
    batch = on_device(peek(source, 1)[0], torch.device("cpu"))
    return batch.shape, batch.tensors().get("segments_BT") is not None


def told(*parts: object) -> dict[str, float]:
    """What sources and objectives have to say of the last step besides their terms: those with `figures()`
    are asked.
    """
    found: dict[str, float] = {}
    for part in parts:
        figures = getattr(part, "figures", None)
        found |= {} if figures is None else figures()
    return found
