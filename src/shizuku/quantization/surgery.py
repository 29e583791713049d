"""Packed layers put in the place of a model's linear layers and tables, and taken out again."""

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from shizuku.errors import ConfigError
from shizuku.quantization.layers import QuantizedEmbedding, QuantizedLayer, QuantizedLinear
from shizuku.quantization.scheme import FORMAT, Layout

TABLES = ("embedding", "unembedding")
"""Matrices with a row for each token of the vocabulary."""


def matrices(model: nn.Module, keep: Iterable[str] = ()) -> dict[str, nn.Module]:
    """The layers with a matrix that can be packed, by name: linear layers and the token tables.

    Names that match a shell pattern of `keep` are left out; a pattern that matches none raises ConfigError.
    """
    found: dict[str, nn.Module] = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | QuantizedLayer)
        or (isinstance(module, nn.Embedding) and name in TABLES)
    }
    for pattern in keep:
        matching = fnmatch.filter(found, pattern)
        if not matching:
            raise ConfigError(
                f"--keep {pattern}: no matrix matches; there are {', '.join(list(found)[:4])}, …"
            )
        found = {name: module for name, module in found.items() if name not in matching}
    return found


def is_quantized(model: nn.Module) -> bool:
    """Whether any layer is packed."""
    return any(isinstance(module, QuantizedLayer) for module in model.modules())


def quantized_layers(model: nn.Module) -> dict[str, QuantizedLayer]:
    """The packed layers by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, QuantizedLayer)}


def pack_layer(model: nn.Module, name: str, layout: Layout, arrays: Mapping[str, Tensor] | None) -> None:
    """Put a packed layer in the place of a float one; without `arrays` they are to be loaded.

    ConfigError where the model has no such layer, or one of another shape.
    """
    try:
        old = model.get_submodule(name)
    except AttributeError as error:
        raise ConfigError(f"the model has no layer {name}") from error
    weight = getattr(old, "weight", None)
    if not isinstance(old, nn.Linear | nn.Embedding) or weight is None:
        raise ConfigError(f"{name} is no layer with a matrix")
    if tuple(weight.shape) != layout.shape:
        raise ConfigError(f"{name} is {tuple(weight.shape)} in the model; its layout says {layout.shape}")
    new: QuantizedLayer
    if isinstance(old, nn.Linear):
        new = QuantizedLinear(layout, arrays, old.bias)
    else:
        new = QuantizedEmbedding(layout, arrays)
    put_layer(model, name, new.train(old.training))


def dequantize(model: nn.Module) -> None:
    """Give every packed layer's place back to a float layer that computes the same."""
    for name, layer in quantized_layers(model).items():
        assert isinstance(layer, QuantizedLinear | QuantizedEmbedding), "the two kinds of packed layers"
        put_layer(model, name, layer.dequantize().train(layer.training))


def description(model: nn.Module) -> dict[str, Any]:
    """What a config says of a model's packed layers; `scheme.read_layouts` reads it."""
    layers = {}
    for name, layer in quantized_layers(model).items():
        layout = layer.layout
        layers[name] = {
            "grid": layout.grid,
            "bits": layout.bits,
            "group_size": layout.group_size,
            "shape": list(layout.shape),
            "outliers": layout.outliers,
        }
    return {"format": FORMAT, "layers": layers}


def weight_bytes(model: nn.Module) -> int:
    """Bytes that the model's parameters and packed arrays take in memory; tied ones once."""
    tensors: dict[int, Tensor] = {id(p): p for p in model.parameters()}
    tensors |= {id(b): b for b in model.buffers()}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def put_layer(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Put a layer in the place of the one of that name."""
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, layer)
