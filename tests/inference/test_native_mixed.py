"""Models whose tensors are packed in different kinds, as GGUF files mix them."""

from functools import cache

import numpy as np
import pytest
import torch
from peers import randomise

from packed_weights import BLOCKS, PLAIN, random_weight
from shizuku.inference.native import NativeRuntime
from shizuku.inference.runtime import Span
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.quantization.packed import PackedKind, PackedTensor

KINDS: tuple[PackedKind, ...] = (*BLOCKS, *PLAIN)
CONFIG = DecoderConfig(
    vocab_size=75, context=96, width=256, layers=4, heads=4, kv_heads=2, ffn_width=512, tie_embeddings=False
)
# Numbers reach so far in blocks of random bytes: divided by it, every kind's weights are about as large.
REACH = {"q8_0": 128, "q4_0": 8, "q4_1": 15, "q5_0": 16, "q4_k": 900, "q5_k": 1900, "q6_k": 4000}


@cache
def mixed(first: int) -> tuple[Decoder, dict[str, PackedTensor]]:
    """A decoder, and its weights in kinds that follow one another from the `first` on."""
    model = Decoder(CONFIG).eval()
    randomise(model)
    weights, tensors = model.state_dict(), {}
    matrices = [name for name, weight in weights.items() if weight.ndim == 2]
    for n, name in enumerate(matrices):
        kind = KINDS[(first + n) % len(KINDS)]
        size = 0.15 / REACH.get(kind, 2)
        tensors[name], values = random_weight(kind, *weights[name].shape, seed=n, size=size)
        weights[name].copy_(torch.from_numpy(values))
    for name in set(weights) - set(matrices):
        vector = weights[name].numpy().reshape(1, -1)
        tensors[name] = PackedTensor("f32", vector.shape, vector.view(np.uint8))
    return model, tensors


@pytest.mark.parametrize("first", range(len(KINDS)))
@torch.no_grad()
def test_float_activations_give_the_dequantised_models_logits(first: int) -> None:
    model, tensors = mixed(first)
    ids = np.random.default_rng(first).integers(0, CONFIG.vocab_size, 40)
    expected = model(torch.from_numpy(ids)[None])[0].numpy()
    running = NativeRuntime(CONFIG, tensors, threads=2, cache="f32", activations="float")
    running.reserve(2)
    found = running.forward([Span(ids.tolist(), 0, [1, 0], "all")])
    assert np.abs(found - expected).max() < 1e-4 * expected.std()


@pytest.mark.parametrize("first", range(0, len(KINDS), 3))
@torch.no_grad()
def test_rounded_activations_stay_near_and_never_depend_on_company(first: int) -> None:
    model, tensors = mixed(first)
    ids = np.random.default_rng(first).integers(0, CONFIG.vocab_size, 40)
    expected = model(torch.from_numpy(ids)[None])[0].numpy()
    running = NativeRuntime(CONFIG, tensors, threads=2)
    running.reserve(2)
    together = running.forward([Span(ids.tolist(), 0, [0, 1], "all")])
    assert np.sqrt(((together - expected) ** 2).mean()) < 0.05 * expected.std()
    alone = [running.forward([Span([int(id)], n, [0, 1], "last")])[0] for n, id in enumerate(ids)]
    np.testing.assert_array_equal(together, np.stack(alone))
