"""A weight matrix as it lies in a file: packed in blocks, without a float copy. Nothing here needs torch."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

PackedKind = Literal["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q4_k", "q5_k", "q6_k"]
"""Every block layout that a packed weight may have; those with a q are GGUF's, byte for byte."""

BLOCKS: dict[PackedKind, tuple[int, int]] = {
    "f32": (1, 4), "f16": (1, 2), "bf16": (1, 2), "q8_0": (32, 34), "q4_0": (32, 18), "q4_1": (32, 20),
    "q5_0": (32, 22), "q4_k": (256, 144), "q5_k": (256, 176), "q6_k": (256, 210),
}  # fmt: skip
"""The numbers in one block of each kind, and its bytes."""


@dataclass(frozen=True, slots=True)
class PackedTensor:
    """A matrix of `shape` (rows first, as PyTorch has it), or a vector of shape (1, n)."""

    kind: PackedKind
    """How its rows are packed."""
    shape: tuple[int, int]
    """Rows and columns."""
    data: np.ndarray
    """uint8 [rows, bytes of a row]; often a view of a mapped file."""
