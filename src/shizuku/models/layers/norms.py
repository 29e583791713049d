"""Normalisations of the last dimension.

Legend: `D` the normalised width, `...` any leading dimensions.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


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
        return rms_norm(x, scale, self.eps)


def rms_norm(x: Float[Tensor, "... D"], scale_D: Float[Tensor, " D"], eps: float) -> Float[Tensor, "... D"]:
    """Return x / sqrt(mean(x²) + eps) * scale over the last dimension.

    In training on a processor the gradient is written out: PyTorch has no kernel for it there, and what
    autograd derives from the parts takes three times as many passes over memory.
    """
    written_out = (
        x.device.type == "cpu"
        and x.dtype is scale_D.dtype is torch.float32
        and torch.is_grad_enabled()
        and (x.requires_grad or scale_D.requires_grad)
        and not torch.compiler.is_compiling()
    )
    return _RMSNorm.apply(x, scale_D, eps) if written_out else F.rms_norm(x, scale_D.shape, scale_D, eps)


class _RMSNorm(torch.autograd.Function):
    """With n = x r and r = 1 / sqrt(mean(x²) + eps): dx = r (g - n mean(g n)) for g = dy * scale."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale_D: Tensor, eps: float) -> Tensor:
        mean = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        r = mean.add_(eps).rsqrt_()
        n = x * r
        ctx.save_for_backward(n, r, scale_D)
        return n * scale_D

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        n, r, scale_D = ctx.saved_tensors
        dscale_D = (dy * n).reshape(-1, n.shape[-1]).sum(0) if ctx.needs_input_grad[1] else None
        if not ctx.needs_input_grad[0]:
            return None, dscale_D, None
        g = dy * scale_D
        share = torch.linalg.vecdot(g, n).div_(-n.shape[-1]).unsqueeze_(-1)
        return g.addcmul_(n, share).mul_(r), dscale_D, None


def make_norm(kind: str, width: int, *, eps: float, bias: bool, offset: bool) -> nn.Module:
    """Return the norm that `kind` names ("rmsnorm" or "layernorm") over `width` features."""
    if kind == "rmsnorm":
        return RMSNorm(width, eps=eps, offset=offset)
    return nn.LayerNorm(width, eps=eps, bias=bias)
