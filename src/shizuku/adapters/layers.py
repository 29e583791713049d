"""A linear layer with low-rank adapters beside its matrix, which stays as it is, in floats or packed.

Legend: `N` rows (tokens), `I` inputs, `O` outputs, `R` rank.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from shizuku.adapters.config import AdapterConfig
from shizuku.models.layers.products import Linear, linear, product
from shizuku.quantization.layers import QuantizedLinear

Base = nn.Linear | QuantizedLinear
"""What an adapter can stand beside."""
_KEY = "adapter:"
"""Before a name where torch keeps it, so that no name clashes with an attribute of its dictionary."""


class LowRankPair(nn.Module):
    """A, B, and with DoRA the rows' lengths, of one adapter on one layer."""

    def __init__(self, base: Base, rank: int, config: AdapterConfig) -> None:
        """Leave room for the numbers on the base's device; see `start`."""
        super().__init__()
        outputs, inputs = size_of(base)
        device = next(iter([*base.parameters(), *base.buffers()])).device
        self.scale, self.dropout = config.scale, config.dropout
        self.a_RI = nn.Parameter(torch.empty(rank, inputs, device=device))
        self.b_OR = nn.Parameter(torch.empty(outputs, rank, device=device))
        self.length_O = nn.Parameter(torch.empty(outputs, device=device)) if config.dora else None

    @torch.no_grad()
    def start(self, base: Base, draw: torch.Generator) -> None:
        """B zero, A small and random: the layer computes what it did (Hu et al. 2021, section 4.1)."""
        rank, inputs = self.a_RI.shape
        bound = inputs**-0.5
        drawn_RI = torch.empty(rank, inputs).uniform_(-bound, bound, generator=draw)
        self.b_OR.zero_()
        self.a_RI.copy_(drawn_RI)
        if self.length_O is not None:
            self.length_O.copy_(base.weight.norm(dim=1))

    def added(self) -> Tensor:
        """scale · B A [O, I]."""
        return self.scale * (self.b_OR @ self.a_RI)

    @torch.no_grad()
    def row_norms(self, weight_OI: Tensor) -> Tensor:
        """Lengths [O] of the rows of W + scale · B A, without putting that matrix together."""
        a_RI, b_OR, scale = self.a_RI.float(), self.b_OR.float(), self.scale
        crossed_O = (product(weight_OI, a_RI) * b_OR).sum(1)
        squared_O = ((b_OR @ (a_RI @ a_RI.t())) * b_OR).sum(1)
        total_O = weight_OI.square().sum(1) + 2 * scale * crossed_O + scale**2 * squared_O
        return total_O.clamp_min(0).sqrt()


class AdaptedLinear(nn.Module):
    """A linear layer and its adapters by name, of which one at most is active."""

    def __init__(self, base: Base) -> None:
        super().__init__()
        self.base = base
        self.pairs = nn.ModuleDict()
        self.active: str | None = None

    @property
    def weight(self) -> Tensor:
        """The base's matrix [O, I]."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """The base's."""
        return self.base.bias

    def names(self) -> list[str]:
        """The adapters on this layer."""
        return [key.removeprefix(_KEY).replace("%2E", ".").replace("%25", "%") for key in self.pairs]

    def pair(self, name: str) -> LowRankPair | None:
        """The adapter of this name, if it is on this layer."""
        found = dict(self.pairs.items()).get(_key(name))
        assert found is None or isinstance(found, LowRankPair), "nothing else is kept here"
        return found

    def put(self, name: str, pair: LowRankPair) -> None:
        """Keep an adapter under this name."""
        self.pairs[_key(name)] = pair

    def drop(self, name: str) -> None:
        """Forget the adapter of this name, if there is one."""
        if _key(name) in self.pairs:
            del self.pairs[_key(name)]
        if self.active == name:
            self.active = None

    def forward(self, x: Tensor) -> Tensor:
        """Return x W^T + bias, and what the active adapter adds, over the last dimension."""
        pair = None if self.active is None else self.pair(self.active)
        base: Any = self.base
        if pair is None:
            return base(x)
        if pair.length_O is not None:
            return _with_lengths(x, base, pair)
        dropping = self.training and pair.dropout > 0
        mixed = torch.is_autocast_enabled(x.device.type) or x.dtype is not pair.a_RI.dtype
        if dropping or mixed or torch.compiler.is_compiling() or _trains(base):
            return base(x) + _low_rank(x, pair, training=self.training)
        return _beside(x, base, pair)

    def merged(self, name: str) -> Linear:
        """A float layer whose matrix holds this adapter; of a packed base its dequantised numbers count."""
        pair, base = self.pair(name), self.base
        assert pair is not None, "only adapters that are here are merged"
        with torch.no_grad():
            weight_OI = base.weight + pair.added()
            if pair.length_O is not None:
                weight_OI *= _factors(pair.length_O, weight_OI.norm(dim=1))[:, None]
        outputs, inputs = size_of(base)
        with torch.device("meta"):
            layer = Linear(inputs, outputs, bias=base.bias is not None)
        layer.weight = nn.Parameter(weight_OI)
        if base.bias is not None:
            layer.bias = nn.Parameter(base.bias.detach().clone())
        return layer.train(self.training)


def size_of(base: Base) -> tuple[int, int]:
    """Outputs and inputs of a layer."""
    if isinstance(base, QuantizedLinear):
        rows, columns = base.layout.shape
        return rows, columns
    return base.out_features, base.in_features


def adapted_layers(model: nn.Module) -> Iterator[tuple[str, AdaptedLinear]]:
    """The layers with adapters, by name."""
    for name, module in model.named_modules():
        if isinstance(module, AdaptedLinear):
            yield name, module


def _key(name: str) -> str:
    return _KEY + name.replace("%", "%25").replace(".", "%2E")


def _trains(base: Base) -> bool:
    return any(parameter.requires_grad for parameter in base.parameters())


def _low_rank(x: Tensor, pair: LowRankPair, *, training: bool) -> Tensor:
    kept = F.dropout(x, pair.dropout) if training and pair.dropout else x
    return linear(linear(kept, pair.a_RI), pair.b_OR) * pair.scale


def _factors(length_O: Tensor, norm_O: Tensor) -> Tensor:
    """What brings rows to their lengths; a row of zeros has no direction, and stays as it is."""
    return torch.where(norm_O > 0, length_O / norm_O.clamp_min(torch.finfo(norm_O.dtype).tiny), 1.0)


def _with_lengths(x: Tensor, base: Base, pair: LowRankPair) -> Tensor:
    """DoRA: rows of W + scale · B A brought to lengths that are trained apart from the directions.

    The norms count as constants in the backward pass (Liu et al. 2024, section 4.3).
    """
    weight_OI = base.weight
    assert pair.length_O is not None, "DoRA has lengths"
    factor_O = _factors(pair.length_O, pair.row_norms(weight_OI.detach()))
    if isinstance(base, QuantizedLinear):
        plain = base.without_bias(x)
    else:
        plain = linear(x, weight_OI)
    y = (plain + _low_rank(x, pair, training=pair.training)) * factor_O
    return y if base.bias is None else y + base.bias


def _beside(x: Tensor, base: Base, pair: LowRankPair) -> Tensor:
    """x W^T + bias + scale · (x A^T) B^T where only A and B are trained."""
    if torch.is_grad_enabled() and (x.requires_grad or pair.a_RI.requires_grad or pair.b_OR.requires_grad):
        y: Tensor = _Beside.apply(x, pair.a_RI, pair.b_OR, base, pair.scale)
        return y
    x_NI = x.reshape(-1, x.shape[-1])
    y_NO = product(x_NI, base.weight, base.bias)
    y_NO.addmm_(x_NI @ pair.a_RI.t(), pair.b_OR.t(), alpha=pair.scale)
    return y_NO.view(*x.shape[:-1], y_NO.shape[1])


class _Beside(torch.autograd.Function):
    """One step for both products: sums go into one result, and the matrix W gets no gradient.

    A packed W is dequantised anew in the backward pass, so that no float copy of it is kept in between.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, a_RI: Tensor, b_OR: Tensor, base: Base, scale: float) -> Tensor:
        x_NI = x.reshape(-1, x.shape[-1])
        h_NR = x_NI @ a_RI.t()
        y_NO = product(x_NI, base.weight, base.bias)
        y_NO.addmm_(h_NR, b_OR.t(), alpha=scale)
        ctx.save_for_backward(x_NI, h_NR, a_RI, b_OR)
        ctx.base, ctx.scale, ctx.shape = base, scale, x.shape
        return y_NO.view(*x.shape[:-1], y_NO.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x_NI, h_NR, a_RI, b_OR = ctx.saved_tensors
        want_x, want_a, want_b, *_ = ctx.needs_input_grad
        dy_NO = dy.reshape(-1, b_OR.shape[0])
        dh_NR = (dy_NO @ b_OR).mul_(ctx.scale)
        dx = None
        if want_x:
            dx_NI = product(dy_NO, ctx.base.weight.t())
            dx = dx_NI.addmm_(dh_NR, a_RI).view(ctx.shape)
        da_RI = dh_NR.t() @ x_NI if want_a else None
        db_OR = (dy_NO.t() @ h_NR).mul_(ctx.scale) if want_b else None
        return dx, da_RI, db_OR, None, None
