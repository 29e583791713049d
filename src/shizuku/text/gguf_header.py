"""The key-value header of a GGUF file, read in one pass.

The `gguf` package's reader keeps an array view for every single string: seconds for a vocabulary that this
reads in a tenth of one. Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import mmap
import struct
from pathlib import Path
from typing import Any

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_DEEPEST = 4


def read_gguf_header(path: Path) -> dict[str, Any]:
    """Every key of the file's header with its value; arrays are lists.

    Raises OSError if the file cannot be read, ValueError if it is not a whole GGUF header of version 2 or 3.
    """
    with path.open("rb") as file:
        if path.stat().st_size < 24:
            raise ValueError("it is shorter than a header")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return HeaderReader(data).read()


class HeaderReader:
    """Reads forward through a mapped GGUF file, every length checked against its end (ValueError)."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.offset = 0
        self.tensor_count = 0

    def read(self) -> dict[str, Any]:
        """Every key with its value; `offset` is then where the list of `tensor_count` tensors begins."""
        if self.data[:4] != b"GGUF":
            raise ValueError(f"it begins with {self.data[:4]!r}, not with b'GGUF'")
        self.offset = 4
        version = self.scalar("I")
        if version not in (2, 3):
            raise ValueError(f"its version is {version}; 2 and 3 can be read")
        self.tensor_count = self.scalar("Q")
        count = self.scalar("Q")
        return {self.string(): self.value(self.scalar("I")) for _ in range(self.bounded(count, 12))}

    def bounded(self, count: int, smallest: int) -> int:
        """`count` things of at least `smallest` bytes must fit in the rest: a damaged length must not fill
        memory.
        """
        if count * smallest > len(self.data) - self.offset:
            raise ValueError(f"it ends inside its header (byte {len(self.data):,})")
        return count

    def scalar(self, form: str) -> Any:
        """One number of struct's form, little-endian."""
        size = struct.calcsize(f"<{form}")
        self.bounded(1, size)
        (value,) = struct.unpack_from(f"<{form}", self.data, self.offset)
        self.offset += size
        return value

    def string(self) -> str:
        """One string."""
        length = self.bounded(self.scalar("Q"), 1)
        start = self.offset
        self.offset = start + length
        return self.data[start : self.offset].decode("utf-8")

    def strings(self, count: int) -> list[str]:
        """`count` strings; a vocabulary is most of a header, so they are read without a call for each."""
        self.bounded(count, 8)
        data, end, length_at = self.data, len(self.data), struct.Struct("<Q").unpack_from
        start, found = self.offset + 8, []
        for _ in range(count):
            # The rest of the file bounds every slice; a length that points behind it ends the loop here.
            if start > end:
                raise ValueError(f"it ends inside its header (byte {end:,})")
            stop = start + length_at(data, start - 8)[0]
            found.append(data[start:stop])
            start = stop + 8
        self.offset = start - 8
        if self.offset > end:
            raise ValueError(f"it ends inside its header (byte {end:,})")
        # Decoded together: where no string holds the separator, which is nearly always, they part again.
        together = b"\0".join(found).decode("utf-8").split("\0") if found else []
        return together if len(together) == count else [string.decode("utf-8") for string in found]

    def value(self, kind: int, depth: int = 0) -> Any:
        """One value of a type number."""
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY and depth < _DEEPEST:
            return self.array(self.scalar("I"), self.scalar("Q"), depth)
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        raise ValueError(f"it holds a value of unknown type {kind}")

    def array(self, kind: int, count: int, depth: int) -> list[Any]:
        """One list of a type number."""
        if kind in _SCALARS:
            form = f"<{self.bounded(count, struct.calcsize(_SCALARS[kind]))}{_SCALARS[kind]}"
            values = struct.unpack_from(form, self.data, self.offset)
            self.offset += struct.calcsize(form)
            return list(values)
        if kind == _STRING:
            return self.strings(count)
        return [self.value(kind, depth + 1) for _ in range(self.bounded(count, 8))]
