"""The tensors of a GGUF file: where each lies, and its values in float32."""

import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf.quants import QuantError
from torch import Tensor

from shizuku.errors import CheckpointError
from shizuku.text.gguf_header import HeaderReader

_MOST_DIMENSIONS = 4
_FLOATS = {gguf.GGMLQuantizationType.F32: np.float32, gguf.GGMLQuantizationType.F16: np.float16}


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where one tensor lies, and in what form."""

    shape: tuple[int, ...]
    """Rows first, as PyTorch has it (the file keeps the fastest dimension first)."""
    kind: int
    """The number of its ggml type."""
    offset: int
    """First byte, from the start of the file."""


class GGUFTensors(Mapping[str, Tensor]):
    """The tensors of a mapped GGUF file by name, dequantised to float32 when asked for.

    A file or a tensor that is damaged, or of a type that the `gguf` package cannot dequantise, raises
    CheckpointError.
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
            self.entries = _entries(
                reader, self.metadata.get("general.alignment", gguf.GGUF_DEFAULT_ALIGNMENT)
            )
        except OSError as error:
            raise CheckpointError(f"cannot be read: {error.strerror or error}") from error
        except (ValueError, struct.error, OverflowError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"truncated, damaged or no GGUF file: {error}") from error
        self._data = np.frombuffer(mapped, dtype=np.uint8)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __getitem__(self, name: str) -> Tensor:
        entry = self.entries[name]
        kind, row_bytes = _row(name, entry)
        end = entry.offset + row_bytes * math.prod(entry.shape[:-1])
        if end > len(self._data):
            raise CheckpointError(
                f"truncated: tensor {name} ends at byte {end:,}, the file at {len(self._data):,}"
            )
        raw = self._data[entry.offset : end].reshape(*entry.shape[:-1], row_bytes)
        if kind in _FLOATS:
            return torch.from_numpy(raw.view(_FLOATS[kind]).astype(np.float32))
        try:
            values = gguf.quants.dequantize(raw, kind)
        except (NotImplementedError, QuantError, ValueError) as error:
            raise CheckpointError(
                f"tensor {name} of type {kind.name} cannot be dequantised: {error}"
            ) from error
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _row(name: str, entry: TensorEntry) -> tuple[gguf.GGMLQuantizationType, int]:
    """Return a tensor's type and the bytes of one row."""
    try:
        kind = gguf.GGMLQuantizationType(entry.kind)
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"tensor {name} is of ggml type {entry.kind}, which is not known") from error
    if not entry.shape or 0 in entry.shape or entry.shape[-1] % block:
        raise CheckpointError(
            f"tensor {name} has shape {list(entry.shape)}; {kind.name} has blocks of {block}"
        )
    return kind, entry.shape[-1] // block * block_bytes


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
