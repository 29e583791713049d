"""Weights as a file would have them: torch tensors packed in GGUF's block layouts, and unpacked again."""

from collections.abc import Mapping

import gguf
import numpy as np
import torch
from torch import Tensor

from shizuku.quantization.packed import PackedKind, PackedTensor


def packed(tensor: Tensor, kind: PackedKind) -> PackedTensor:
    """A matrix or vector of this kind; vectors stay float32."""
    values = np.ascontiguousarray(tensor.detach().numpy(), dtype=np.float32)
    shape = (1, len(values)) if values.ndim == 1 else values.shape
    if values.ndim == 1 or kind == "f32":
        return PackedTensor("f32", shape, values.reshape(shape).view(np.uint8))
    data = gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind.upper()])
    return PackedTensor(kind, shape, data.view(np.uint8).reshape(shape[0], -1))


def unpacked(tensor: PackedTensor) -> Tensor:
    """Its values in float32."""
    if tensor.kind == "f32":
        return torch.from_numpy(tensor.data.copy().view(np.float32))
    kind = gguf.GGMLQuantizationType[tensor.kind.upper()]
    return torch.from_numpy(gguf.quants.dequantize(tensor.data, kind).astype(np.float32)).reshape(
        tensor.shape
    )


def packed_weights(weights: Mapping[str, Tensor], kind: PackedKind = "f32") -> dict[str, PackedTensor]:
    """Every tensor of a state dict; position tables stay float32."""
    return {
        name: packed(tensor, "f32" if name == "position_embedding.weight" else kind)
        for name, tensor in weights.items()
    }
