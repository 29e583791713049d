"""Packed layers as GGUF's blocks, held to the gguf package; and what has no blocks, held to torch."""

import json
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from shizuku.checkpoints.directory import save_checkpoint
from shizuku.quantization.blocks import blocks, floats, packed_tensors
from shizuku.quantization.layers import dequantised
from shizuku.quantization.matrices import quantize_matrix
from shizuku.quantization.scheme import Scheme
from shizuku.quantization.surgery import matrices, pack_layer
from small_models import small_model

WEIGHT = torch.randn(24, 160, generator=torch.Generator().manual_seed(2)) * 0.1
TYPES = {
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
    "q4_1": gguf.GGMLQuantizationType.Q4_1,
}


@pytest.mark.parametrize("group_size", [32, 64, 0])
@pytest.mark.parametrize(
    ("bits", "symmetric", "kind"),
    [
        (8, True, "q8_0"), (5, True, "q8_0"), (4, True, "q4_0"), (2, True, "q4_0"), (4, False, "q4_1"),
        (3, False, "q4_1"),
    ],
)  # fmt: skip
def test_blocks_stand_for_exactly_the_layers_numbers(
    bits: int, symmetric: bool, kind: str, group_size: int
) -> None:
    rounded = quantize_matrix(WEIGHT, Scheme(bits=bits, symmetric=symmetric, group_size=group_size))
    arrays = {name: array.numpy() for name, array in rounded.arrays.items()}
    found = blocks(rounded.layout, arrays)
    assert found is not None and found.kind == kind and found.shape == (24, 160)
    by_gguf = gguf.dequantize(found.data, TYPES[kind])
    ours = dequantised(rounded.layout, rounded.arrays).numpy()
    assert np.abs(by_gguf - ours).max() <= 1e-6 * np.abs(ours).max()
    assert np.array_equal(floats(rounded.layout, arrays).data.view(np.float32), ours)


@pytest.mark.parametrize(
    "scheme",
    [
        Scheme(bits=4, group_size=24),
        Scheme(bits=6),
        Scheme(method="codebook", bits=3),
        Scheme(method="codebook", bits=4, group_size=0),
        Scheme(method="outlier", bits=4),
        Scheme(method="codebook", bits=2, outliers=0.01),
    ],
)
def test_what_no_block_holds_is_float(scheme: Scheme) -> None:
    rounded = quantize_matrix(WEIGHT, scheme)
    arrays = {name: array.numpy() for name, array in rounded.arrays.items()}
    assert blocks(rounded.layout, arrays) is None
    ours = dequantised(rounded.layout, rounded.arrays).numpy()
    assert np.array_equal(floats(rounded.layout, arrays).data.view(np.float32), ours)


def test_a_packed_directory_is_opened_without_torch(tmp_path: Path) -> None:
    model = small_model()
    for name, layer in matrices(model, keep=["*.down"]).items():
        scheme = Scheme(bits=4, group_size=32) if "query" in name else Scheme(bits=6, group_size=8)
        rounded = quantize_matrix(layer.weight, scheme)
        pack_layer(model, name, rounded.layout, rounded.arrays)
    path = save_checkpoint(tmp_path / "packed", model=model)
    config = json.loads((path / "config.json").read_text())
    found = packed_tensors(config["quantization"], load_file(path / "model.safetensors"))
    assert found["blocks.0.attention.query.weight"].kind == "q4_1"
    assert found["embedding.weight"].kind == "f32"
    ours = model.embedding.weight.numpy()
    assert np.array_equal(found["embedding.weight"].data.view(np.float32), ours)
    script = "import sys, shizuku.quantization.blocks; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
