"""Matrix products of a model's layers, by the faster library where there are two.

On x86 processors PyTorch gives float32 products to MKL, which on other makers' processors stays with AVX2;
oneDNN, which is in the same build, uses AVX-512 where it is there and is not slower where it isn't
(`benchmarks/products.py`). Both compute in float32; only the order of the sums differs.

Legend: `N` rows (tokens), `I` inputs, `O` outputs.
"""

import platform
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.flop_counter import flop_registry, register_flop_formula

SMALLEST = 1 << 20
"""Multiplications from which on a call of oneDNN, which costs more by itself, pays."""
SMALLEST_OUTER = 1 << 24
"""The same for a weight's gradient, whose left side is copied first; without AVX-512 that never pays."""


HAS_ONEDNN = torch.backends.mkldnn.is_available() and platform.machine().lower() in ("x86_64", "amd64")
"""Whether this build of PyTorch has it, and it has kernels of its own for this kind of processor."""
HAS_AVX512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
"""Whether it has the wide registers that MKL leaves unused on other makers' processors than its own."""


def by_onednn(x_NI: Tensor, weight_OI: Tensor) -> bool:
    """Whether a product of these two is oneDNN's: float32 on an x86 processor, and not tiny."""
    return (
        HAS_ONEDNN
        and x_NI.dtype is weight_OI.dtype is torch.float32
        and x_NI.device.type == weight_OI.device.type == "cpu"
        and type(weight_OI) in (Tensor, nn.Parameter)
        and x_NI.numel() * weight_OI.shape[0] > SMALLEST
        and not torch.is_autocast_enabled("cpu")
    )


def product(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """Return x weight^T + bias [N, O], without a gradient, by the faster library."""
    if not by_onednn(x_NI, weight_OI):
        return F.linear(x_NI, weight_OI, bias_O)
    return (_compiled if torch.compiler.is_compiling() else _onednn)(x_NI, weight_OI, bias_O)


if HAS_ONEDNN and torch.ops.mkldnn._linear_pointwise not in flop_registry:
    # So that PyTorch's FlopCounterMode counts it too.

    @register_flop_formula(torch.ops.mkldnn._linear_pointwise)
    def _(x_NI: torch.Size, weight_OI: torch.Size, *rest: object, **named: object) -> int:
        return 2 * x_NI.numel() * weight_OI[0]


def _onednn(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(_dense(x_NI), _dense(weight_OI), bias_O, "none", [], "")


def _dense(matrix: Tensor) -> Tensor:
    """A matrix without gaps: for a slice out of wider rows oneDNN has no kernel that is worth the name."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


@torch.library.custom_op("shizuku::product", mutates_args=(), device_types="cpu")
def _compiled(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    """The same as one opaque step: torch.compile takes oneDNN's own operator with constant weights only."""
    return _onednn(x_NI, weight_OI, bias_O)


@_compiled.register_fake
def _(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    return x_NI.new_empty(x_NI.shape[0], weight_OI.shape[0])


def outer_sum(dy_NO: Tensor, x_NI: Tensor) -> Tensor:
    """Return dy^T x [O, I], without a gradient: what a weight's gradient is."""
    large = x_NI.numel() * dy_NO.shape[1] > SMALLEST_OUTER
    if not (large and HAS_AVX512 and by_onednn(dy_NO.t(), x_NI.t())):
        return dy_NO.t() @ x_NI
    # The library copies its left side when that is transposed, so the narrower one stands there.
    if dy_NO.shape[1] > x_NI.shape[1]:
        return product(x_NI.t(), dy_NO.t()).t().contiguous()
    return product(dy_NO.t(), x_NI.t())


def linear(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """Return x weight^T + bias over the last dimension of `x`, with gradients, as F.linear does."""
    if not by_onednn(x, weight_OI):
        return F.linear(x, weight_OI, bias_O)
    # The library's operator has no gradient, whichever of the three is asked for it.
    learns = any(one is not None and one.requires_grad for one in (x, weight_OI, bias_O))
    if torch.is_grad_enabled() and learns:
        return _Linear.apply(x, weight_OI, bias_O)
    return product(x.reshape(-1, x.shape[-1]), weight_OI, bias_O).view(*x.shape[:-1], -1)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
        x_NI = x.reshape(-1, x.shape[-1])
        # The inputs are for the weight's gradient alone: beside a frozen one they need not be kept.
        ctx.save_for_backward(x_NI if ctx.needs_input_grad[1] else None, weight_OI)
        ctx.shape, ctx.biased = x.shape, bias_O is not None
        return product(x_NI, weight_OI, bias_O).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x_NI, weight_OI = ctx.saved_tensors
        dy_NO = dy.reshape(-1, weight_OI.shape[0])
        want_x, want_weight, want_bias = ctx.needs_input_grad
        dx = product(dy_NO, weight_OI.t()).view(ctx.shape) if want_x else None
        dweight_OI = outer_sum(dy_NO, x_NI) if want_weight else None
        return dx, dweight_OI, dy_NO.sum(0) if want_bias and ctx.biased else None


class Linear(nn.Linear):
    """nn.Linear with the faster product; its names, shapes and results are those of nn.Linear."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x weight^T + bias over the last dimension."""
        return linear(x, self.weight, self.bias)
