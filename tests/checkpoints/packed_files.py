"""GGUF files of every type, and packed tensors beside PyTorch's."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from decoders import random_model

from shizuku.checkpoints.gguf import write_gguf
from shizuku.models.decoder import DecoderConfig
from shizuku.models.parameter_shapes import parameter_shapes
from shizuku.quantization.packed import BLOCKS, PackedTensor

SCALES = {
    "q8_0": [0],
    "q4_0": [0],
    "q4_1": [0, 1],
    "q5_0": [0],
    "q4_k": [0, 1],
    "q5_k": [0, 1],
    "q6_k": [104],
}
"""Which float16 of a block are its scales."""


def values(tensor: PackedTensor) -> torch.Tensor:
    """A packed tensor's numbers, by the format's own package."""
    kind = gguf.GGMLQuantizationType[tensor.kind.upper()]
    return torch.from_numpy(np.array(gguf.quants.dequantize(np.ascontiguousarray(tensor.data), kind)))


def assert_equal(tensors: Any, expected: dict[str, torch.Tensor]) -> None:
    """Every tensor, bit for bit, of its shape and with whole rows."""
    assert list(tensors) == list(expected)
    for name, tensor in tensors.items():
        whole = expected[name] if expected[name].dim() == 2 else expected[name][None]
        assert tensor.shape == tuple(whole.shape), name
        assert tensor.data.dtype == np.uint8 and tensor.data.flags.c_contiguous
        block, block_bytes = BLOCKS[tensor.kind]
        assert tensor.data.shape == (tensor.shape[0], tensor.shape[1] // block * block_bytes), name
        assert torch.equal(values(tensor), whole), name
        assert tensor.kind == "f32" or expected[name].dim() == 2


def in_order(config: DecoderConfig, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors in the order of the decoder's state_dict."""
    return {name: weights[name] for name in parameter_shapes(config)}


def random_blocks(shape: tuple[int, ...], kind: str, random: np.random.Generator) -> np.ndarray:
    """Any bytes are quantised numbers, as long as the scales are finite."""
    block, block_bytes = BLOCKS[kind]
    count = shape[0] * shape[1] // block
    blocks = random.integers(0, 256, (count, block_bytes), dtype=np.uint8)
    halves = blocks.view("<f2")
    for place in SCALES[kind]:
        halves[:, place] = random.normal(0, 0.01, count)
    return blocks.reshape(shape[0], -1)


def write_kind(path: Path, config: DecoderConfig, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GGUF file whose matrices are random blocks of a kind."""
    random, add = np.random.default_rng(0), gguf.GGUFWriter.add_tensor

    def add_random(self: gguf.GGUFWriter, name: str, data: np.ndarray, **rest: Any) -> None:
        if data.ndim == 2 and kind in SCALES:
            rest["raw_dtype"] = gguf.GGMLQuantizationType[kind.upper()]
            data = random_blocks(data.shape, kind, random)
        add(self, name, data, **rest)

    monkeypatch.setattr(gguf.GGUFWriter, "add_tensor", add_random)
    write_gguf(
        path, config, random_model(config).state_dict(), file_type=kind if kind in ("f16", "bf16") else "f32"
    )
