"""The native runtime equals the torch decoder, and a row never depends on its company."""

import subprocess
import sys
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from peers import DENSE, TOLERANCE, ours, peer, randomise, token_ids

from packed_weights import packed_weights, unpacked
from shizuku.errors import ConfigError, ModelError
from shizuku.inference.native import NativeRuntime, unsupported
from shizuku.inference.runtime import Runtime, Span
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.models.decoder_config import RotaryScaling
from shizuku.models.layers.frequencies import frequencies
from shizuku.models.layers.rotary import rotation
from shizuku.quantization.native.library import instruction_sets
from shizuku.quantization.packed import PackedKind

SETS = instruction_sets()
SMALL = DecoderConfig(
    vocab_size=77, context=640, width=64, layers=2, heads=4, kv_heads=2, head_width=24, ffn_width=96,
    norm_eps=1e-5, tie_embeddings=False, attention_bias=True, sliding_window=50, sliding_layers=(True, False),
)  # fmt: skip


@cache
def small() -> Decoder:
    model = Decoder(SMALL).eval()
    randomise(model)
    return model


def runtime(model: Decoder, kind: PackedKind = "f32", blocks: int = 24, **settings: object) -> NativeRuntime:
    found = NativeRuntime(
        model.config, packed_weights(model.state_dict(), kind), **({"threads": 2} | settings)
    )
    found.reserve(blocks)
    return found


def whole(running: NativeRuntime, ids: list[int], blocks: list[int] | None = None) -> np.ndarray:
    return running.forward([Span(ids, 0, blocks or list(range(running.blocks)), "all")])


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / expected.std())


def random_ids(count: int, seed: int = 3, vocabulary: int = SMALL.vocab_size) -> list[int]:
    return np.random.default_rng(seed).integers(0, vocabulary, count).tolist()


@pytest.mark.parametrize("name", DENSE)
@torch.no_grad()
def test_every_mechanism_gives_the_decoders_logits(name: str, tmp_path: Path) -> None:
    model = ours(peer(name), tmp_path)
    ids = token_ids()
    expected = model(ids).numpy()
    running = runtime(model, cache="f32", blocks=4)
    assert isinstance(running, Runtime) and unsupported(model.config) == []
    found = running.forward(
        [Span(ids[0].tolist(), 0, [0, 1], "all"), Span(ids[1].tolist(), 0, [3, 2], "all")]
    )
    assert distance(found.reshape(expected.shape), expected) < TOLERANCE


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_tanh", "relu", "relu2"])
@pytest.mark.parametrize("instruction_set", SETS)
@torch.no_grad()
def test_every_instruction_set_gives_the_decoders_logits(activation: str, instruction_set: str) -> None:
    # Norms of both kinds and caps besides, so that every function of a set is called.
    config = replace(
        SMALL, activation=activation, attention_cap=3.0, logit_cap=2.0, norm_placement="both", qk_norm=True,
        **({"norm": "layernorm", "norm_bias": True} if activation == "relu" else {}),
    )  # fmt: skip
    model = Decoder(config).eval()
    randomise(model, seed=7)
    ids = random_ids(90)
    found = whole(runtime(model, cache="f32", instruction_set=instruction_set), ids)
    assert distance(found, model(torch.tensor([ids]))[0].numpy()) < TOLERANCE


@pytest.mark.parametrize(("kind", "instruction_set"), product(["f16", "bf16", "q8_0", "q4_0", "q4_1"], SETS))
@torch.no_grad()
def test_packed_weights_with_float_activations_give_the_dequantised_models_logits(
    kind: PackedKind, instruction_set: str
) -> None:
    model, ids = Decoder(SMALL).eval(), random_ids(70)
    model.load_state_dict(small().state_dict())
    weights = packed_weights(model.state_dict(), kind)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: unpacked(tensor).reshape(shapes[name]) for name, tensor in weights.items()})
    expected = model(torch.tensor([ids]))[0].numpy()
    settings = {"threads": 2, "instruction_set": instruction_set, "cache": "f32"}
    exact = NativeRuntime(SMALL, weights, activations="float", **settings)
    exact.reserve(3)
    assert distance(whole(exact, ids), expected) < TOLERANCE
    rounded = NativeRuntime(SMALL, weights, **settings)
    rounded.reserve(3)
    off = np.abs(whole(rounded, ids) - expected).std() / expected.std()
    assert off < (1e-5 if kind in ("f16", "bf16") else 0.03)
    if kind.startswith("q"):
        assert off > 1e-4, "activations were not rounded"


COMBINATIONS = [
    *((kind, "f16", SETS[0]) for kind in ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1")),
    *(("q4_1", kept, name) for kept, name in product(("f16", "int8", "f32"), SETS[1:])),
    *((kind, "int8", name) for kind, name in product(("q8_0", "q4_0"), SETS)),
]


@pytest.mark.parametrize(("kind", "kept", "instruction_set"), COMBINATIONS)
def test_a_row_is_the_same_to_the_last_bit_in_any_company(
    kind: PackedKind, kept: str, instruction_set: str
) -> None:
    running = runtime(small(), kind, blocks=30, cache=kept, instruction_set=instruction_set)
    lengths = [1, 31, 70, 90, 33]
    sequences = [random_ids(length, seed) for seed, length in enumerate(lengths)]
    places = [[0], [1], [2, 3, 4], [5, 6, 7], [8, 9]]
    alone = [
        np.concatenate([running.forward([Span([one], at, place)]) for at, one in enumerate(ids)])
        for ids, place in zip(sequences, places, strict=True)
    ]
    assert not running.company_matters
    generator = np.random.default_rng(len(kind))
    elsewhere = iter(generator.permutation(20) + 10)
    places = [[int(next(elsewhere)) for _ in place] for place in places]
    done = [0] * len(lengths)
    while any(at < length for at, length in zip(done, lengths, strict=True)):
        spans, rows = [], []
        for n in generator.permutation(len(lengths)):
            left = lengths[n] - done[n]
            if left == 0 or generator.random() < 0.2:
                continue
            take = min(left, int(generator.choice([1, 1, 2, 5, 11, 40])))
            spans.append(Span(sequences[n][done[n] : done[n] + take], done[n], places[n], "all"))
            rows.append(alone[n][done[n] : done[n] + take])
            done[n] += take
        if spans:
            assert np.array_equal(running.forward(spans), np.concatenate(rows))


def test_a_long_prompt_and_the_number_of_threads_change_nothing() -> None:
    ids = random_ids(600)
    one, three = runtime(small(), "q8_0", threads=1), runtime(small(), "q8_0", threads=3)
    expected = whole(one, ids)
    assert np.array_equal(whole(three, ids), expected)
    for begin in range(0, 600, 100):
        piece = three.forward([Span(ids[begin : begin + 100], begin, list(range(19)), "last")])
        assert np.array_equal(piece, expected[begin + 99 : begin + 100])


@torch.no_grad()
def test_what_is_wanted_comes_in_order_and_hidden_is_before_the_output_matrix() -> None:
    running = runtime(small())
    first, second, third = random_ids(9, 1), random_ids(5, 2), random_ids(7, 4)
    spans = [Span(first, 0, [0]), Span(second, 0, [1], "none"), Span(third, 0, [2], "all")]
    found, hidden = running.forward(spans), running.hidden(spans)
    assert found.shape == (8, SMALL.vocab_size) and hidden.shape == (8, SMALL.width)
    assert np.array_equal(found[:1], whole(running, first)[-1:])
    assert np.array_equal(found[1:], whole(running, third))
    assert distance(small().unembed(torch.from_numpy(hidden)).numpy(), found) < TOLERANCE
    assert running.forward(spans[1:2]).shape == (0, SMALL.vocab_size) and running.forward([]).shape[0] == 0


@pytest.mark.parametrize("kept", ["f16", "f32", "int8"])
@torch.no_grad()
def test_blocks_can_be_shared_copied_and_added(kept: str) -> None:
    running = runtime(small(), blocks=3, cache=kept)
    ids = random_ids(70)
    expected = whole(running, ids)
    running.reserve(8)
    assert running.blocks == 8
    running.copy_block(1, 6)
    fork = running.forward([Span(ids[64:], 64, [0, 6, 7], "all")])
    assert np.array_equal(fork, expected[64:])
    model = small()(torch.tensor([ids]))[0].numpy()
    assert distance(expected, model) < {"f32": TOLERANCE, "f16": 0.02, "int8": 0.15}[kept]


def test_a_blocks_leavings_reach_nobody() -> None:
    running, ids = runtime(small(), blocks=1, cache="f32"), random_ids(20)
    expected = whole(running, ids)
    whole(running, random_ids(32, 9))
    assert np.array_equal(whole(running, ids), expected)


SCALINGS = [
    RotaryScaling(),
    RotaryScaling(kind="linear", factor=4.0),
    RotaryScaling(kind="dynamic", factor=2.0, original_context=100),
    RotaryScaling(kind="llama3", factor=8.0, original_context=64),
    RotaryScaling(kind="yarn", factor=4.0, original_context=32),
    RotaryScaling(kind="yarn", factor=4.0, original_context=32, whole_features=False, temperature=1.3),
]


@pytest.mark.parametrize("scaling", SCALINGS, ids=lambda one: one.kind)
def test_angles_are_those_of_the_torch_layer(scaling: RotaryScaling) -> None:
    config = replace(SMALL, rope_scaling=scaling, rope_theta=5000.0, rope_local_theta=70.0)
    for local in (False, True):
        theta, kind = (70.0, RotaryScaling()) if local else (5000.0, scaling)
        expected = rotation(torch.arange(640)[None], width=24, theta=theta, scaling=kind, context=640)
        found, amplitude = frequencies(config, local=local)
        cosines = np.cos(np.arange(640)[:, None] * found.astype(np.float64)) * amplitude
        assert np.abs(cosines - expected.cos_BT1R[0, :, 0, :12].numpy()).max() < 2e-4


def test_angles_far_into_a_text_are_those_of_the_torch_layer() -> None:
    apart = 0
    for theta in (1e4, 1e5, 5e5, 1e6):
        config = replace(SMALL, width=128, heads=1, kv_heads=1, head_width=128, rope_theta=theta)
        found, _ = frequencies(config)
        exponents = torch.arange(0, len(found) * 2, 2, dtype=torch.float32) / (len(found) * 2)
        apart += int((found != (1.0 / theta**exponents).numpy()).sum())
    assert apart <= 4, "all but a few of 256 are the same number; those in another rounding are a third apart"


@pytest.mark.parametrize(
    ("spans", "words"),
    [
        ([Span([], 0, [0])], "0 tokens"),
        ([Span([1], -1, [0])], "position -1"),
        ([Span([1] * 3, 638, list(range(24)))], "context of 640"),
        ([Span([1] * 33, 0, [0])], "hold 32"),
        ([Span([77], 0, [0])], "vocabulary has 77"),
        ([Span([1], 0, [24])], "block 24"),
        ([Span([1], 0, [-1])], "block -1"),
    ],
)
def test_a_span_that_cannot_be_is_refused(spans: list[Span], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        runtime(small()).forward(spans)


def test_weights_that_do_not_fit_and_settings_that_are_not_there_are_refused() -> None:
    weights = packed_weights(small().state_dict())
    name = "blocks.1.feedforward.up.weight"
    with pytest.raises(ModelError, match=f"{name} is missing"):
        NativeRuntime(SMALL, {key: value for key, value in weights.items() if key != name})
    with pytest.raises(ModelError, match=r"blocks\.0\.feedforward\.gate\.weight has shape"):
        NativeRuntime(replace(SMALL, ffn_width=64), weights)
    with pytest.raises(ModelError, match="not part of the model: stranger"):
        NativeRuntime(SMALL, weights | {"stranger": weights[name]})
    with pytest.raises(ModelError, match="kind q9_9"):
        NativeRuntime(SMALL, weights | {name: replace(weights[name], kind="q9_9")})
    assert unsupported(SMALL, ["q9_9", "q8_0"]) == ["weights of kind q9_9"]
    with pytest.raises(ConfigError, match="'mmx' is not to be had here"):
        NativeRuntime(SMALL, weights, instruction_set="mmx")
    with pytest.raises(ConfigError, match="threads is 0"):
        NativeRuntime(SMALL, weights, threads=0)


def test_nothing_of_it_imports_torch() -> None:
    code = (
        "import sys, shizuku.inference.native, shizuku.quantization.native.library as n; "
        "n.load(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
