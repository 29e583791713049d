"""Single tensors as they lie in a file, and as packed tensors; numpy alone."""

from dataclasses import dataclass

import numpy as np

from shizuku.checkpoints.gguf_tensors import GGUFFile, dequantised, kind_name
from shizuku.checkpoints.safetensors_file import SafetensorsEntry, SafetensorsFile
from shizuku.errors import CheckpointError
from shizuku.quantization.packed import BLOCKS, PackedKind, PackedTensor
from shizuku.quantization.packed_numbers import NUMBERS, as_float32, not_finite

_GGML: dict[int, PackedKind] = {
    0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 8: "q8_0", 12: "q4_k", 13: "q5_k", 14: "q6_k",
    30: "bf16",
}  # fmt: skip
"""The kinds under ggml's numbers for them."""
_SAFETENSORS: dict[str, PackedKind] = {"F32": "f32", "F16": "f16", "BF16": "bf16"}
"""The kinds under the names that safetensors has for them."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor as it lies in a file."""

    kind: PackedKind
    """How its rows are packed."""
    array: np.ndarray
    """Numbers [rows, columns] of the float kinds (bfloat16 as uint16), bytes [rows, bytes of a row] of the
    others; vectors [n] always float32."""


def stored_in_gguf(file: GGUFFile, name: str) -> Stored:
    """A tensor of a GGUF file; CheckpointError for a type that is none of ours, and for a damaged one."""
    entry = file.entries[name]
    kind = _GGML.get(entry.kind)
    if len(entry.shape) == 1 and kind != "f32":
        return Stored("f32", dequantised(file, name))
    if kind is None:
        raise _not_packed(name, kind_name(entry.kind))
    rows = file.rows(name, *BLOCKS[kind])
    return Stored(kind, rows.view(NUMBERS[kind]) if kind in NUMBERS else rows)


def stored_in_safetensors(name: str, file: SafetensorsFile, entry: SafetensorsEntry) -> Stored:
    """A tensor of a safetensors file; CheckpointError for a type that is none of ours."""
    data = file.bytes_of(name)
    if entry.dtype == "F64":
        with np.errstate(over="ignore"):  # what becomes infinite is refused by its name
            return Stored("f32", data.view("<f8").reshape(entry.shape).astype(np.float32))
    kind = _SAFETENSORS.get(entry.dtype)
    if kind is None:
        raise _not_packed(name, entry.dtype)
    array = data.view(NUMBERS[kind]).reshape(entry.shape)
    return Stored("f32", as_float32(kind, array)) if array.ndim == 1 else Stored(kind, array)


def _not_packed(name: str, kind: str) -> CheckpointError:
    known = ", ".join(BLOCKS)
    return CheckpointError(
        f"tensor {name} is of type {kind}, which cannot be used as it is packed; these can: {known}"
    )


def packed_tensor(name: str, shape: tuple[int, ...], kind: PackedKind, rows: np.ndarray) -> PackedTensor:
    """Our tensor from its rows, copied only if they don't stand together; CheckpointError unless finite."""
    height, columns = (1, *shape)[-2:]
    # Contiguous and aligned, which only changes rows that are not so already.
    data = np.require(rows, requirements=["C", "A"]).reshape(height, -1).view(np.uint8)
    tensor = PackedTensor(kind, (height, columns), data)
    bad = not_finite(tensor)
    if bad:
        raise CheckpointError(
            f"{bad} of the {height * columns} numbers in {name} are NaN or infinite. "
            "Take an earlier checkpoint; if training made it, lower the learning rate"
        )
    return tensor
