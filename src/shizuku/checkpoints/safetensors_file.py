"""A safetensors file as it lies on the disk: its header, and views of its bytes.

The `safetensors` package gives numpy no bfloat16, and copies. Layout:
https://github.com/huggingface/safetensors#format
"""

import json
import math
import mmap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shizuku.errors import CheckpointError

MOST_HEADER = 100_000_000
"""Longest header in bytes that the format allows."""
_WIDTHS = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
"""Bytes of one number; of other types the place alone is checked."""


@dataclass(frozen=True, slots=True)
class SafetensorsEntry:
    """Where one tensor lies, and in what form."""

    dtype: str
    """The format's name of its type, such as BF16."""
    shape: tuple[int, ...]
    """Its shape."""
    start: int
    """First byte, from the start of the file."""
    end: int
    """Behind its last byte."""


class SafetensorsFile:
    """A mapped safetensors file; it is unmapped when the last view of it is gone.

    A file that is damaged or of another kind raises CheckpointError.
    """

    entries: Mapping[str, SafetensorsEntry]
    """Every tensor's place."""

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self.entries = _entries(mapped)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} is damaged or no safetensors file: {error}") from error
        self._data = np.frombuffer(mapped, dtype=np.uint8)

    def bytes_of(self, name: str) -> np.ndarray:
        """A tensor's bytes as they lie in the file: uint8 [bytes], a view."""
        entry = self.entries[name]
        return self._data[entry.start : entry.end]


def places_in(files: Iterable[Path]) -> dict[str, tuple[SafetensorsFile, SafetensorsEntry]]:
    """Every tensor of several files with the file that holds it; raises as `SafetensorsFile`."""
    found: dict[str, tuple[SafetensorsFile, SafetensorsEntry]] = {}
    for file in map(SafetensorsFile, files):
        found.update((name, (file, entry)) for name, entry in file.entries.items())
    return found


def _entries(data: mmap.mmap) -> dict[str, SafetensorsEntry]:
    length = int.from_bytes(data[:8], "little")
    start = 8 + length
    if len(data) < 8 or length > MOST_HEADER or start > len(data):
        raise ValueError(f"its header does not fit in its {len(data):,} bytes")
    header = json.loads(data[8:start].decode("utf-8"))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    header.pop("__metadata__", None)
    entries = {name: _entry(name, value, start) for name, value in header.items()}
    end = start
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != end:
            raise ValueError(f"{name} does not begin where the tensor before it ends")
        end = entry.end
    if end != len(data):
        raise ValueError(f"its tensors end at byte {end:,}, the file at {len(data):,}")
    return entries


def _entry(name: str, value: Any, start: int) -> SafetensorsEntry:
    try:
        dtype, shape, (first, last) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"its header does not say where {name} is") from error
    numbers = (*shape, first, last)
    if not isinstance(dtype, str) or not all(type(n) is int and n >= 0 for n in numbers) or first > last:
        raise ValueError(f"its header does not say where {name} is")
    if dtype in _WIDTHS and last - first != _WIDTHS[dtype] * math.prod(shape):
        raise ValueError(
            f"{name} has {last - first:,} bytes, which is not its shape {list(shape)} in {dtype}"
        )
    return SafetensorsEntry(dtype, shape, start + first, start + last)
