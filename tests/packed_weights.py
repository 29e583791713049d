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


BLOCKS: dict[PackedKind, tuple[int, int, tuple[int, ...]]] = {
    "q8_0": (32, 34, (0,)), "q4_0": (32, 18, (0,)), "q4_1": (32, 20, (0, 2)), "q5_0": (32, 22, (0,)),
    "q4_k": (256, 144, (0, 2)), "q5_k": (256, 176, (0, 2)), "q6_k": (256, 210, (208,)),
}  # fmt: skip
"""Columns and bytes of a block, and where its half-precision numbers stand."""
PLAIN: tuple[PackedKind, ...] = ("f32", "f16", "bf16")


def random_weight(
    kind: PackedKind, rows: int, cols: int, seed: int = 0, size: float = 1.0
) -> tuple[PackedTensor, np.ndarray]:
    """A weight of random blocks, and what it means as float32 [rows, cols]."""
    rng = np.random.default_rng(seed)
    if kind in PLAIN:
        values = size * rng.standard_normal((rows, cols), np.float32)
        if kind == "bf16":
            bits = (values.view(np.uint32) >> 16).astype(np.uint16)
            tensor = PackedTensor(kind, (rows, cols), bits.view(np.uint8))
            return tensor, (bits.astype(np.uint32) << 16).view(np.float32)
        values = values.astype(np.float16 if kind == "f16" else np.float32)
        return PackedTensor(kind, (rows, cols), values.view(np.uint8)), values.astype(np.float32)
    width, block_bytes, halves = BLOCKS[kind]
    shape = (rows, cols // width)
    raw = rng.integers(0, 256, (*shape, block_bytes), np.uint8)
    for at in halves:
        scales = size * rng.uniform(0.2, 1.0, (*shape, 1)) * rng.choice([-1, 1], (*shape, 1))
        raw[:, :, at : at + 2] = scales.astype(np.float16).view(np.uint8)
    data = raw.reshape(rows, -1)
    values = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[kind.upper()])
    return PackedTensor(kind, (rows, cols), data), values
