"""The tensors of a GGUF file: where each lies, its rows as they are, and its values in float32."""

import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shizuku.errors import CheckpointError
from shizuku.text.gguf_header import HeaderReader

if TYPE_CHECKING:
    import gguf
    from torch import Tensor

ALIGNMENT = 32
"""Bytes of whose multiples tensors begin at, where a file does not say otherwise."""
_MOST_DIMENSIONS = 4


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where one tensor lies, and in what form."""

    shape: tuple[int, ...]
    """Rows first, as PyTorch has it (the file keeps the fastest dimension first)."""
    kind: int
    """The number of its ggml type."""
    offset: int
    """First byte, from the start of the file."""


class GGUFFile:
    """A mapped GGUF file; it is unmapped when the last view of it is gone.

    A header that is damaged raises CheckpointError.
    """

    metadata: Mapping[str, Any]
    """Numbers, strings, booleans, and lists of them."""
    entries: Mapping[str, TensorEntry]
    """Every tensor's place, in the file's order."""

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            reader = HeaderReader(mapped)
            self.metadata = reader.read()
            self.entries = _entries(reader, self.metadata.get("general.alignment", ALIGNMENT))
        except OSError as error:
            raise CheckpointError(f"cannot be read: {error.strerror or error}") from error
        except (ValueError, struct.error, OverflowError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"truncated, damaged or no GGUF file: {error}") from error
        self._data = np.frombuffer(mapped, dtype=np.uint8)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor."""
        return {name: entry.shape for name, entry in self.entries.items()}

    def rows(self, name: str, block: int, block_bytes: int) -> np.ndarray:
        """A tensor as it lies in the file: uint8 [..., bytes of a row], a view.

        `block` numbers take `block_bytes`. A shape that is no multiple of the block, and a tensor that
        reaches beyond the file's end, raise CheckpointError.
        """
        entry = self.entries[name]
        if not entry.shape or 0 in entry.shape or entry.shape[-1] % block:
            raise CheckpointError(
                f"tensor {name} has shape {list(entry.shape)}; {kind_name(entry.kind)} has blocks of {block}"
            )
        row_bytes = entry.shape[-1] // block * block_bytes
        end = entry.offset + row_bytes * math.prod(entry.shape[:-1])
        if end > len(self._data):
            raise CheckpointError(
                f"truncated: tensor {name} ends at byte {end:,}, the file at {len(self._data):,}"
            )
        return self._data[entry.offset : end].reshape(*entry.shape[:-1], row_bytes)


class GGUFTensors(GGUFFile, Mapping[str, "Tensor"]):
    """The tensors of a mapped GGUF file by name, dequantised to float32 when asked for.

    A tensor that is damaged, or of a type that the `gguf` package cannot dequantise, raises CheckpointError.
    """

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __getitem__(self, name: str) -> "Tensor":
        import torch

        return torch.from_numpy(dequantised(self, name))


def dequantised(file: GGUFFile, name: str) -> np.ndarray:
    """A tensor's values in float32; raises CheckpointError as `GGUFTensors`."""
    import gguf
    from gguf.quants import QuantError

    kind, block, block_bytes = _type(name, file.entries[name])
    raw = file.rows(name, block, block_bytes)
    try:
        # Never a view: nothing may be written into the mapped file.
        return np.require(gguf.quants.dequantize(raw, kind), np.float32, ["C", "W"])
    except (NotImplementedError, QuantError, ValueError) as error:
        raise CheckpointError(f"tensor {name} of type {kind.name} cannot be dequantised: {error}") from error


def kind_name(kind: int) -> str:
    """The name of a ggml type, as its package spells it."""
    import gguf

    known = {member.value: member.name for member in gguf.GGMLQuantizationType}
    return known.get(kind, f"ggml type {kind}")


def _type(name: str, entry: TensorEntry) -> "tuple[gguf.GGMLQuantizationType, int, int]":
    """A tensor's type, the numbers in one of its blocks and the bytes of one."""
    import gguf

    try:
        kind = gguf.GGMLQuantizationType(entry.kind)
        return kind, *gguf.GGML_QUANT_SIZES[kind]
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"tensor {name} is of ggml type {entry.kind}, which is not known") from error


def _entries(reader: HeaderReader, alignment: object) -> dict[str, TensorEntry]:
    if not isinstance(alignment, int) or alignment < 1:
        raise CheckpointError(f"general.alignment is {alignment!r}; expected a positive number")
    places = []
    for _ in range(reader.bounded(reader.tensor_count, 24)):
        name, dimensions = reader.string(), reader.scalar("I")
        if dimensions > _MOST_DIMENSIONS:
            raise CheckpointError(f"tensor {name!r} has {dimensions} dimensions")
        sizes = [reader.scalar("Q") for _ in range(dimensions)]
        places.append((name, tuple(reversed(sizes)), reader.scalar("I"), reader.scalar("Q")))
    start = math.ceil(reader.offset / alignment) * alignment
    entries = {name: TensorEntry(shape, kind, start + offset) for name, shape, kind, offset in places}
    if len(entries) != reader.tensor_count:
        raise CheckpointError("a tensor name appears twice")
    return entries
