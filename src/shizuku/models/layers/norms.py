"""Normalisations of the last dimension.

Legend: `D` the normalised width, `...` any leading dimensions.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Divide by the root mean square and scale (Zhang and Sennrich 2019)."""

    def __init__(self, width: int, *, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Return x with unit root mean square, times the weight."""
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def make_norm(kind: str, width: int, *, eps: float, bias: bool) -> nn.Module:
    """Return the norm that `kind` names ("rmsnorm" or "layernorm") over `width` features."""
    if kind == "rmsnorm":
        return RMSNorm(width, eps=eps)
    return nn.LayerNorm(width, eps=eps, bias=bias)
