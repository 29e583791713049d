"""Packed layers in a model: exact round trips, reversible surgery, and what is refused."""

import itertools

import pytest
import torch
from torch import nn

from shizuku.errors import ConfigError, ModelError
from shizuku.models.decoder import Decoder
from shizuku.quantization.layers import QuantizedEmbedding, QuantizedLinear, held
from shizuku.quantization.matrices import quantize_matrix
from shizuku.quantization.scheme import Scheme
from shizuku.quantization.surgery import (
    dequantize,
    is_quantized,
    matrices,
    pack_layer,
    quantized_layers,
    weight_bytes,
)
from small_models import small_model

IDS = torch.randint(0, 400, (2, 16), generator=torch.Generator().manual_seed(1))


def packed_model(scheme: Scheme, shape: str = "llama") -> Decoder:
    model = small_model(shape)
    for name, layer in matrices(model).items():
        rounded = quantize_matrix(layer.weight, scheme)
        pack_layer(model, name, rounded.layout, rounded.arrays)
    return model


@pytest.mark.parametrize("shape", ["llama", "qwen3", "gpt2"])
def test_a_packed_model_computes_what_its_dequantised_model_computes(shape: str) -> None:
    model = packed_model(Scheme(bits=3, group_size=24), shape)
    logits = model(IDS)
    assert isinstance(model.embedding, QuantizedEmbedding)
    assert isinstance(model.blocks[0].attention.query, QuantizedLinear)
    with held(model):
        assert torch.equal(model(IDS), logits)
    assert model.embedding._held is None
    dequantize(model)
    assert not is_quantized(model) and isinstance(model.embedding, nn.Embedding)
    assert torch.equal(model(IDS), logits)
    assert (logits - small_model(shape)(IDS)).std() > 0.05 * logits.std(), "nothing was rounded"


def test_more_bits_and_smaller_groups_are_closer() -> None:
    exact = small_model()(IDS).detach()

    def error(scheme: Scheme) -> float:
        return float((packed_model(scheme)(IDS).detach() - exact).std() / exact.std())

    for symmetric in (True, False):
        errors = [error(Scheme(bits=bits, symmetric=symmetric, group_size=8)) for bits in range(2, 9)]
        assert all(fewer > more for fewer, more in itertools.pairwise(errors)), errors
        assert errors[-1] < 0.03
    assert error(Scheme(bits=4, group_size=8)) < error(Scheme(bits=4, group_size=0))


@pytest.mark.parametrize(
    "scheme", [Scheme(bits=5, group_size=24), Scheme(bits=8, group_size=0, symmetric=True)]
)
def test_the_bytes_are_counted_whole(scheme: Scheme) -> None:
    model = packed_model(scheme)
    for layer in quantized_layers(model).values():
        arrays = layer.arrays()
        assert layer.layout.bytes == sum(a.numel() * a.element_size() for a in arrays.values())
    norms = sum(4 * p.numel() for p in model.parameters())
    assert weight_bytes(model) == norms + sum(la.layout.bytes for la in quantized_layers(model).values())


def test_a_name_filter_leaves_layers_in_float() -> None:
    names = list(matrices(small_model(), keep=["*.down", "embedding"]))
    assert names and not any(name.endswith("down") or name == "embedding" for name in names)
    with pytest.raises(ConfigError, match=r"--keep blocks\.9\.\*: no matrix matches"):
        matrices(small_model(), keep=["blocks.9.*"])


def test_what_does_not_fit_is_refused() -> None:
    model = small_model()
    rounded = quantize_matrix(model.blocks[0].feedforward.up.weight, Scheme())
    layout, arrays = rounded.layout, rounded.arrays
    with pytest.raises(ConfigError, match="its layout says"):
        pack_layer(model, "blocks.0.attention.query", layout, arrays)
    with pytest.raises(ConfigError, match=r"no layer blocks\.7"):
        pack_layer(model, "blocks.7.feedforward.up", layout, arrays)
    with pytest.raises(ConfigError, match="no layer with a matrix"):
        pack_layer(model, "final_norm", layout, arrays)
    with pytest.raises(ModelError, match="numbers is"):
        QuantizedLinear(layout, {**arrays, "numbers": arrays["numbers"][1:]})
    with pytest.raises(ModelError, match="float16 scales end"):
        quantize_matrix(torch.full((8, 32), 1e6), Scheme())
