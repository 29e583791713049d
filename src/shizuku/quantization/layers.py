"""Linear layers and embeddings whose matrix is packed; what they compute is float32, dequantised on the way.

They stand where a `Linear` or an `nn.Embedding` stood, under the same name, and give it back with
`dequantize()`. R rows (outputs), C columns (inputs), E groups of eight numbers.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from shizuku.errors import ModelError
from shizuku.models.layers.products import Linear, linear, product
from shizuku.quantization.scheme import Layout

__all__ = ["QuantizedEmbedding", "QuantizedLayer", "QuantizedLinear", "held", "unpack"]


class QuantizedLayer(nn.Module):
    """A packed matrix; its arrays are buffers, named as in `Layout.arrays`."""

    def __init__(self, layout: Layout, arrays: Mapping[str, Tensor] | None = None) -> None:
        """Take the arrays, or leave room for them to be loaded; ModelError where they don't fit."""
        super().__init__()
        self.layout = layout
        self._held: Tensor | None = None
        for name, (kind, shape) in layout.arrays().items():
            dtype = getattr(torch, kind)
            array = torch.empty(shape, dtype=dtype) if arrays is None else arrays[name]
            if array.dtype != dtype or tuple(array.shape) != shape:
                raise ModelError(
                    f"{name} is {array.dtype} {tuple(array.shape)}; the layout says {dtype} {shape}"
                )
            self.register_buffer(name, array)

    @property
    def weight(self) -> Tensor:
        """The matrix float32 [R, C], computed anew each time unless `held`."""
        return self.rows() if self._held is None else self._held

    def rows(self, chosen_N: Tensor | None = None) -> Tensor:
        """The given rows of the matrix [N, C], or all of them."""
        if self._held is not None:
            return self._held if chosen_N is None else self._held[chosen_N]
        if chosen_N is not None and self.layout.outliers:
            return self.rows()[chosen_N]
        arrays = dict(self.named_buffers(recurse=False))
        if chosen_N is not None:
            by_row = ("numbers", "scales", "offsets")
            arrays = {n: a[chosen_N] if n in by_row else a for n, a in arrays.items()}
        return dequantised(self.layout, arrays)

    def arrays(self) -> dict[str, Tensor]:
        """The packed arrays by name."""
        return dict(self.named_buffers(recurse=False))

    def extra_repr(self) -> str:
        """What is shown of it."""
        layout = self.layout
        return f"{layout.shape[1]} -> {layout.shape[0]}, {layout.grid}, {layout.bits_per_weight:.2f} bits"


class QuantizedLinear(QuantizedLayer):
    """A linear layer with a packed matrix."""

    def __init__(
        self, layout: Layout, arrays: Mapping[str, Tensor] | None = None, bias: Tensor | None = None
    ) -> None:
        super().__init__(layout, arrays)
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return x weight^T + bias over the last dimension."""
        return self.without_bias(x, self.bias)

    def without_bias(self, x: Tensor, bias_O: Tensor | None = None) -> Tensor:
        """Return x weight^T, and `bias_O` where one is given."""
        if torch.is_grad_enabled() and x.requires_grad and not torch.compiler.is_compiling():
            y: Tensor = _Unpacking.apply(x, self)
            return y if bias_O is None else y + bias_O
        return linear(x, self.weight, bias_O)

    def dequantize(self) -> Linear:
        """The float layer that computes the same."""
        rows, columns = self.layout.shape
        with torch.device("meta"):
            layer = Linear(columns, rows, bias=self.bias is not None)
        layer.weight = nn.Parameter(self.weight.clone())
        if self.bias is not None:
            layer.bias = nn.Parameter(self.bias.detach().clone())
        return layer


class _Unpacking(torch.autograd.Function):
    """x weight^T with a gradient for x alone; the backward pass dequantises anew, so that no float copy of
    the matrix is kept in between.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: QuantizedLayer) -> Tensor:
        ctx.layer = layer
        return linear(x, layer.weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        weight_RC = ctx.layer.weight
        dx = product(dy.reshape(-1, dy.shape[-1]), weight_RC.to(dy.dtype).t())
        return dx.view(*dy.shape[:-1], dx.shape[-1]), None


class QuantizedEmbedding(QuantizedLayer):
    """A table with packed rows; only the rows that are asked for are dequantised."""

    def forward(self, ids: Tensor) -> Tensor:
        """Return the rows of these ids [..., C]."""
        return self.rows(ids.reshape(-1)).view(*ids.shape, -1)

    def dequantize(self) -> nn.Embedding:
        """The float table with the same rows."""
        return nn.Embedding(*self.layout.shape, _weight=self.weight.clone())


@contextmanager
def held(model: nn.Module) -> Iterator[None]:
    """Keep every packed matrix in float32 too inside the `with`: faster where many passes follow."""
    layers = [module for module in model.modules() if isinstance(module, QuantizedLayer)]
    try:
        for layer in layers:
            layer._held = layer.weight
        yield
    finally:
        for layer in layers:
            layer._held = None


def dequantised(layout: Layout, arrays: Mapping[str, Tensor]) -> Tensor:
    """The matrix float32 [R, C] that packed arrays stand for."""
    columns = layout.shape[1]
    codes_RC = unpack(arrays["numbers"], layout.bits, columns)
    if layout.grid == "codebook":
        codebook = arrays["codebook"]
        weight_RC = codebook.index_select(0, codes_RC.reshape(-1).int()).view(codes_RC.shape)
    else:
        weight_RC = codes_RC.float()
        if layout.grid == "symmetric":
            weight_RC -= 2 ** (layout.bits - 1)
    if layout.groups:
        weight_RC = over_groups(weight_RC, arrays["scales"].float(), layout.group, torch.Tensor.mul_)
    if layout.grid == "asymmetric":
        weight_RC = over_groups(weight_RC, arrays["offsets"].float(), layout.group, torch.Tensor.add_)
    if layout.outliers:
        counts = arrays["outlier_counts"].long()
        rows = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
        weight_RC[rows, arrays["outlier_columns"].long()] = arrays["outlier_values"].float()
    return weight_RC


def over_groups(weight_RC: Tensor, values_RG: Tensor, group: int, operation: object) -> Tensor:
    """Apply an in-place operation with one value for each group of columns."""
    assert callable(operation), "an in-place method of tensors"
    columns = weight_RC.shape[1]
    if columns % group == 0:
        operation(weight_RC.view(weight_RC.shape[0], -1, group), values_RG[:, :, None])
    else:
        operation(weight_RC, values_RG.repeat_interleave(group, dim=1)[:, :columns])
    return weight_RC


def unpack(numbers_RB: Tensor, bits: int, columns: int) -> Tensor:
    """The codes uint8 [R, columns] of packed bytes; `bits.pack` has the order."""
    if bits == 8:
        return numbers_RB[:, :columns]
    if bits in (2, 4):
        parts = [numbers_RB >> shift & (2**bits - 1) for shift in range(0, 8, bits)]
        return torch.stack(parts, dim=-1).flatten(1)[:, :columns]
    bytes_REb = numbers_RB.view(numbers_RB.shape[0], -1, bits).long()
    words_RE = sum((bytes_REb[..., place] << 8 * place for place in range(1, bits)), bytes_REb[..., 0])
    codes = [(words_RE >> bits * place & (2**bits - 1)).to(torch.uint8) for place in range(8)]
    return torch.stack(codes, dim=-1).flatten(1)[:, :columns]
