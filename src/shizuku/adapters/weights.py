"""An adapter as it lies in a file: its config and its matrices, as arrays. Nothing here needs torch.

R rank, I inputs, O outputs.
"""

from dataclasses import dataclass

import numpy as np

from shizuku.adapters.config import AdapterConfig


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
