"""What an adapter is: its rank, its scale, the layers that it is on. Nothing here needs torch."""

import math
from dataclasses import dataclass

from shizuku.errors import ConfigError

ALL_LINEAR = ("blocks.*",)
"""Shell pattern of every linear layer of the blocks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterConfig:
    """Low-rank adaptation (Hu et al. 2021): W x + scale · B (A x), with A and B alone trained."""

    rank: int = 0
    """Rows of A and columns of B; 0: no adapter, the whole model is trained."""
    alpha: float | None = None
    """The scale is alpha / rank (with rank_stabilised: alpha / sqrt(rank)); none given: twice the rank."""
    targets: tuple[str, ...] = ALL_LINEAR
    """Shell patterns of the layers that get an adapter, by their names in the model
    (`blocks.*.attention.query`).
    """
    dropout: float = 0.0
    """Share of an adapter's inputs that a training step leaves out."""
    rank_stabilised: bool = False
    """rsLoRA (Kalajdzievski 2023): divide by the root of the rank, so that large ranks learn too."""
    dora: bool = False
    """DoRA (Liu et al. 2024): train the length of each output row apart from its direction."""

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise ConfigError(f"--lora.rank: expected 0 or more, found {self.rank}")
        if self.alpha is not None and not self.alpha > 0:
            raise ConfigError(f"--lora.alpha: expected more than 0, found {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"--lora.dropout: expected 0 <= share < 1, found {self.dropout}")
        if not self.targets:
            raise ConfigError("--lora.targets: give at least one pattern of layer names")

    @property
    def scale(self) -> float:
        """What B (A x) is multiplied by."""
        alpha = 2.0 * self.rank if self.alpha is None else self.alpha
        return alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)
