"""An adapter as it lies in a file: its config and its matrices, as arrays. Nothing here needs torch.

R rank, I inputs, O outputs.
"""

from dataclasses import dataclass

import numpy as np

from shizuku.adapters.config import AdapterConfig
from shizuku.errors import ModelError


@dataclass(frozen=True, slots=True)
class LowRank:
    """What an adapter adds to one linear layer."""

    a_RI: np.ndarray
    """float32 [R, I]: reads the layer's input."""
    b_OR: np.ndarray
    """float32 [O, R]: writes to the layer's output."""
    length_O: np.ndarray | None = None
    """float32 [O]: DoRA's length of each output row of W + scale · B A; None without DoRA."""


@dataclass(frozen=True, slots=True)
class AdapterWeights:
    """A whole adapter, by the names of the model's linear layers (`blocks.0.attention.query`)."""

    config: AdapterConfig
    """Rank, scale and kind."""
    layers: dict[str, LowRank]
    """The layers it is on."""
    base_digest: str | None = None
    """Digest of the base's weights, where it is known."""
    base: str | None = None
    """Name or path of the base, where it is known."""


def check_low_rank(layer: str, low_rank: LowRank, shape: tuple[int, int], *, dora: bool) -> None:
    """ModelError if the arrays don't fit a matrix of this shape (outputs, inputs), or aren't finite."""
    a_RI, b_OR, length_O = low_rank.a_RI, low_rank.b_OR, low_rank.length_O
    if a_RI.ndim != 2 or b_OR.ndim != 2 or a_RI.shape[0] != b_OR.shape[1]:
        raise ModelError(f"{layer}: A {a_RI.shape} and B {b_OR.shape} of the adapter don't fit each other")
    if (b_OR.shape[0], a_RI.shape[1]) != shape:
        raise ModelError(
            f"{layer}: the adapter is for a matrix of {b_OR.shape[0]} x {a_RI.shape[1]}, this model's has "
            f"{shape[0]} x {shape[1]}: it is for another base"
        )
    if (length_O is not None) != dora or (length_O is not None and length_O.shape != shape[:1]):
        seen = "none" if length_O is None else length_O.shape
        raise ModelError(f"{layer}: expected lengths for {shape[0] if dora else 'no'} rows, found {seen}")
    for what, array in (("A", a_RI), ("B", b_OR), ("lengths", length_O)):
        if array is not None and not np.isfinite(array).all():
            raise ModelError(f"{layer}: {what} of the adapter holds numbers that are NaN or infinite")
