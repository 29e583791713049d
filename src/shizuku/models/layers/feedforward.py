"""The position-wise part of a block.

Legend: `D` width, `F` hidden width of the feed-forward layer.
"""

from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from shizuku.models.layers.products import Linear


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _relu_squared(x: Tensor) -> Tensor:
    return F.relu(x).square()  # So et al. 2021 (Primer)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": _gelu_tanh,
    "relu": F.relu,
    "relu2": _relu_squared,
}
"""Every activation that a config may name."""


class FeedForward(nn.Module):
    """Two matrices around an activation; three when gated (Shazeer 2020)."""

    def __init__(self, width: int, hidden: int, *, activation: str, gated: bool, bias: bool) -> None:
        super().__init__()
        self.gate = Linear(width, hidden, bias=bias) if gated else None
        self.up = Linear(width, hidden, bias=bias)
        self.down = Linear(hidden, width, bias=bias)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Return the layer's contribution to the residual stream."""
        if self.gate is None:
            return self.down(self.activation(self.up(x)))
        return self.down(self.activation(self.gate(x)) * self.up(x))
