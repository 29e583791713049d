"""Normalisations of the last dimension.

Legend: `D` the normalised width, `...` any leading dimensions.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Divide by the root mean square and scale (Zhang and Sennrich 2019)."""

    def __init__(self, width: int, *, eps: float, offset: bool = False) -> None:
        """With `offset` the scale is 1 + weight, and the weight starts at zero."""
        super().__init__()
        self.eps = eps
        self.offset = offset
        self.weight = nn.Parameter(torch.zeros(width) if offset else torch.ones(width))

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Return x with unit root mean square, times the scale."""
        scale = 1 + self.weight if self.offset else self.weight
        return F.rms_norm(x, self.weight.shape, scale, self.eps)


def make_norm(kind: str, width: int, *, eps: float, bias: bool, offset: bool) -> nn.Module:
    """Return the norm that `kind` names ("rmsnorm" or "layernorm") over `width` features."""
    if kind == "rmsnorm":
        return RMSNorm(width, eps=eps, offset=offset)
    return nn.LayerNorm(width, eps=eps, bias=bias)
