"""What a decoder remembers between calls: the cache, as an explicit object.

Legend: `B` batch, `T` tokens of one call, `S` slots, `G` key-value heads, `K` head width.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shizuku.errors import ModelError
from shizuku.models.layers.visibility import Layout, complete_layout, plain_layout


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of everything a state held at one moment."""

    length: int
    tensors: tuple[Tensor, ...]
    layout: Layout | None


@runtime_checkable
class State(Protocol):
    """What a model carries from one call to the next, whatever it is made of.

    A call places its tokens, lets every layer append, and commits at its end, so that a call that fails
    half way leaves the state as it was.
    """

    @property
    def batch(self) -> int:
        """Number of rows."""
        ...

    @property
    def length(self) -> int:
        """Number of slots in use, padding included; the same for all rows."""
        ...

    @property
    def plain(self) -> bool:
        """Whether every row is one unpadded segment from position 0, so that no mask is needed."""
        ...

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` slots, keeping what is held."""
        ...

    def place(
        self, positions_BT: Int[Tensor, "#B T"] | None, segments_BT: Int[Tensor, "#B T"] | None, tokens: int
    ) -> tuple[Layout, Layout]:
        """Return the layout of the next `tokens` slots and of all slots up to their end."""
        ...

    def append(
        self, layer: int, k_BGTK: Float[Tensor, "B G T K"], v_BGTK: Float[Tensor, "B G T K"]
    ) -> tuple[Float[Tensor, "B G S K"], Float[Tensor, "B G S K"]]:
        """Write one layer's keys and values behind those held; return all of them."""
        ...

    def commit(self, tokens: int, layout: Layout | None) -> None:
        """Count the appended `tokens` as held; `layout` is that of all slots, None while plain."""
        ...

    def select_rows(self, rows_R: Int[Tensor, " R"]) -> None:
        """Keep, repeat or reorder rows: row r of the new batch is row rows_R[r] of the old."""
        ...

    def truncate(self, length: int) -> None:
        """Forget every slot from `length` on."""
        ...

    def snapshot(self) -> Snapshot:
        """Return a copy to come back to."""
        ...

    def restore(self, snapshot: Snapshot) -> None:
        """Become what the snapshot holds."""
        ...


class KeyValueState:
    """Keys and values of every layer in preallocated slots that double when they run out."""

    def __init__(
        self, *, layers: int, batch: int, kv_heads: int, head_width: int, capacity: int,
        dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        """Reserve `capacity` slots for `batch` rows; more are made when needed."""
        shape = (batch, kv_heads, max(capacity, 1), head_width)
        self._keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self._values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self._length = 0
        self._layout: Layout | None = None

    @property
    def batch(self) -> int:
        """Number of rows."""
        return self._keys[0].shape[0]

    @property
    def length(self) -> int:
        """Number of slots in use, padding included; the same for all rows."""
        return self._length

    @property
    def capacity(self) -> int:
        """Number of slots that fit before the next growth."""
        return self._keys[0].shape[2]

    @property
    def plain(self) -> bool:
        """Whether every row is one unpadded segment from position 0."""
        return self._layout is None

    @property
    def layout(self) -> Layout:
        """Positions and segments of the slots in use [B, length]."""
        return self._layout or plain_layout(self.batch, self._length, self._keys[0].device)

    @property
    def bytes(self) -> int:
        """Bytes that the reserved slots take."""
        return sum(tensor.nbytes for tensor in (*self._keys, *self._values))

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` slots: at least twice as many as before, so that growing stays rare."""
        if capacity <= self.capacity:
            return
        capacity = max(capacity, 2 * self.capacity)
        for tensors in (self._keys, self._values):
            for layer, old in enumerate(tensors):
                new = old.new_zeros((*old.shape[:2], capacity, old.shape[3]))
                new[:, :, : self._length] = old[:, :, : self._length]
                tensors[layer] = new

    def place(
        self, positions_BT: Int[Tensor, "#B T"] | None, segments_BT: Int[Tensor, "#B T"] | None, tokens: int
    ) -> tuple[Layout, Layout]:
        """Return the layout of the next `tokens` slots and of all slots up to their end."""
        before = self.layout
        new = complete_layout(positions_BT, segments_BT, before, tokens)
        return new, before.followed_by(new)

    def append(
        self, layer: int, k_BGTK: Float[Tensor, "B G T K"], v_BGTK: Float[Tensor, "B G T K"]
    ) -> tuple[Float[Tensor, "B G S K"], Float[Tensor, "B G S K"]]:
        """Write one layer's keys and values behind those held; return views of all of them."""
        end = self._length + k_BGTK.shape[2]
        self.grow(end)
        keys, values = self._keys[layer], self._values[layer]
        keys[:, :, self._length : end] = k_BGTK
        values[:, :, self._length : end] = v_BGTK
        return keys[:, :, :end], values[:, :, :end]

    def commit(self, tokens: int, layout: Layout | None) -> None:
        """Count the appended `tokens` as held; `layout` is that of all slots, None while plain."""
        self._length += tokens
        self._layout = layout

    def select_rows(self, rows_R: Int[Tensor, " R"]) -> None:
        """Keep, repeat or reorder rows: row r of the new batch is row rows_R[r] of the old."""
        self._keys = [keys.index_select(0, rows_R) for keys in self._keys]
        self._values = [values.index_select(0, rows_R) for values in self._values]
        if self._layout is not None:
            self._layout = Layout(
                self._layout.positions_BT.index_select(0, rows_R),
                self._layout.segments_BT.index_select(0, rows_R),
            )

    def truncate(self, length: int) -> None:
        """Forget every slot from `length` on; a length that isn't held raises ModelError."""
        if not 0 <= length <= self._length:
            raise ModelError(f"cannot truncate a state of {self._length} slots to {length}")
        self._length = length
        if self._layout is not None:
            self._layout = Layout(self._layout.positions_BT[:, :length], self._layout.segments_BT[:, :length])

    def snapshot(self) -> Snapshot:
        """Return a copy of the slots in use, safe from whatever happens to the state afterwards."""
        tensors = tuple(tensor[:, :, : self._length].clone() for tensor in (*self._keys, *self._values))
        return Snapshot(self._length, tensors, self._layout)

    def restore(self, snapshot: Snapshot) -> None:
        """Become what the snapshot holds, rows and order included."""
        layers = len(self._keys)
        capacity = max(self.capacity, snapshot.length)
        restored = []
        for held in snapshot.tensors:
            tensor = held.new_zeros((*held.shape[:2], capacity, held.shape[3]))
            tensor[:, :, : snapshot.length] = held
            restored.append(tensor)
        self._keys, self._values = restored[:layers], restored[layers:]
        self._length, self._layout = snapshot.length, snapshot.layout
