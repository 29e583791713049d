"""Adapters beside the base: equal to the folded model, a span's own, and without a trace on other spans."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from peers import CONFIGS, DENSE, ours, peer, randomise

from packed_weights import packed_weights, unpacked
from random_adapters import folded, random_adapter
from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.surgery import attach, is_adapted
from shizuku.adapters.weights import AdapterWeights, LowRank
from shizuku.errors import ConfigError, ModelError
from shizuku.inference.adapting import AdaptingRuntime, digest_of, packed_low_rank
from shizuku.inference.native import NativeRuntime
from shizuku.inference.runtime import Span
from shizuku.inference.torch_runtime import TorchRuntime
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.quantization.native.library import instruction_sets

# Of the logits' deviation. The folded matrices are rounded sums, so that the two differ a little more than
# two orders of the same sum do.
NEAR = 1e-4
SMALL = DecoderConfig(
    vocab_size=77, context=640, width=64, layers=2, heads=4, kv_heads=2, head_width=24, ffn_width=96,
    norm_eps=1e-5, tie_embeddings=False, attention_bias=True, sliding_window=50, sliding_layers=(True, False),
)  # fmt: skip


@cache
def small() -> Decoder:
    model = Decoder(SMALL).eval()
    randomise(model)
    return model


def native(model: Decoder, kind: str = "f32", blocks: int = 40, **settings: object) -> NativeRuntime:
    found = NativeRuntime(
        model.config,
        packed_weights(model.state_dict(), kind),  # type: ignore[arg-type]
        **({"threads": 2, "cache": "f32"} | settings),  # type: ignore[arg-type]
    )
    found.reserve(blocks)
    return found


def by_torch(model: Decoder, blocks: int = 80) -> TorchRuntime:
    found = TorchRuntime(model)
    found.reserve(blocks)
    return found


RUNTIMES: dict[str, Callable[[Decoder], NativeRuntime | TorchRuntime]] = {"native": native, "torch": by_torch}


def random_ids(count: int, seed: int = 3, vocabulary: int = SMALL.vocab_size) -> list[int]:
    return np.random.default_rng(seed).integers(0, vocabulary, count).tolist()


@torch.no_grad()
def expected_of(model: Decoder, weights: AdapterWeights | None, ids: list[int]) -> np.ndarray:
    folded_model = model if weights is None else folded(model, weights)
    return folded_model(torch.tensor([ids]))[0].numpy()


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / expected.std())


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in CONFIGS for kind in RUNTIMES if name in DENSE or kind == "torch"],
)
def test_every_architectures_logits_are_those_of_the_folded_model(name: str, kind: str, tmp_path) -> None:
    model = ours(peer(name), tmp_path)
    weights = random_adapter(model.config, size=0.5)
    running = RUNTIMES[kind](model)
    assert isinstance(running, AdaptingRuntime)
    running.add_adapter("a", weights)
    ids = random_ids(20, vocabulary=model.config.vocab_size)
    blocks = list(range(4))
    found = running.forward([Span(ids, 0, blocks, "all", "a")])
    assert distance(found, expected_of(model, weights, ids)) < NEAR
    base = running.forward([Span(ids, 0, blocks, "all")])
    assert distance(base, expected_of(model, None, ids)) < NEAR
    assert distance(found, base) > 0.1, "the adapter changes nothing"


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize("instruction_set", instruction_sets())
@pytest.mark.parametrize("rank", [1, 2, 3, 5, 16, 33])
def test_every_instruction_set_and_rank(rank: int, instruction_set: str, dora: bool) -> None:
    model = small()
    weights = random_adapter(SMALL, rank=rank, dora=dora, seed=rank)
    running = native(model, instruction_set=instruction_set)
    running.add_adapter("a", weights)
    ids = random_ids(70)
    expected = expected_of(model, weights, ids)
    found = running.forward([Span(ids, 0, [0, 1, 2], "all", "a")])
    assert distance(found, expected) < NEAR
    alone = [running.forward([Span([i], n, [3, 4, 5], "last", "a")])[0] for n, i in enumerate(ids[:40])]
    assert np.array_equal(np.stack(alone), found[:40]), "a row depends on how many rows there are"


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_torch_brings_rows_to_their_lengths(dora: bool) -> None:
    model, ids = small(), random_ids(30)
    weights = random_adapter(SMALL, dora=dora)
    running = by_torch(model)
    running.add_adapter("a", weights)
    found = running.forward([Span(ids, 0, list(range(4)), "all", "a")])
    assert distance(found, expected_of(model, weights, ids)) < NEAR


@pytest.mark.parametrize("target", ["query", "key", "value", "output", "gate", "up", "down"])
def test_an_adapter_on_one_kind_of_layer(target: str) -> None:
    model, ids = small(), random_ids(40)
    weights = random_adapter(SMALL, targets=(f"blocks.1.*.{target}",))
    assert len(weights.layers) == 1
    expected = expected_of(model, weights, ids)
    assert distance(expected, expected_of(model, None, ids)) > 0.02
    for make in RUNTIMES.values():
        running = make(model)
        running.add_adapter("a", weights)
        found = running.forward([Span(ids, 0, list(range(4)), "all", "a")])
        assert distance(found, expected) < NEAR


def spans_of_all(running: NativeRuntime | TorchRuntime) -> list[Span]:
    """Of every adapter and of none, in an order in which neighbours differ, more than a chunk of rows."""
    size = running.block_tokens
    adapters = [None, "a", "b", "dora"] * 3
    spans, first = [], 0
    for n, adapter in enumerate(adapters):
        length = (1, 7, 90, 2, 40, 33, 1, 60, 5, 64, 1, 3)[n]
        need = -(-length // size)
        spans.append(Span(random_ids(length, n), 0, list(range(first, first + need)), "all", adapter))
        first += need
    return spans


def with_three(running: NativeRuntime | TorchRuntime) -> NativeRuntime | TorchRuntime:
    running.add_adapter("a", random_adapter(SMALL, seed=1))
    running.add_adapter("b", random_adapter(SMALL, seed=2, rank=17, targets=("blocks.*.query", "blocks.1.*")))
    running.add_adapter("dora", random_adapter(SMALL, seed=3, rank=2, dora=True))
    return running


@pytest.mark.parametrize("weights", ["f32", "q8_0", "q4_0"])
@pytest.mark.parametrize("threads", [1, 3])
def test_natively_a_row_has_the_same_bits_alone_and_in_any_company(weights: str, threads: int) -> None:
    plain = native(small(), weights, threads=1)
    alone = with_three(native(small(), weights, threads=1))
    mixed = with_three(native(small(), weights, threads=threads))
    spans = spans_of_all(mixed)
    found = mixed.forward(spans)
    backwards = mixed.forward(spans[::-1])
    row = 0
    for span in spans:
        logits = found[row : row + len(span.ids)]
        row += len(span.ids)
        assert np.array_equal(logits, backwards[len(found) - row :][: len(logits)])
        assert np.array_equal(logits, alone.forward([span]))
        if span.adapter is None:  # as if there had never been an adapter
            assert np.array_equal(logits, plain.forward([span]))
    # One by one, as decoding does, beside others that decode.
    first, second = spans[1], spans[2]
    for n in range(len(first.ids)):
        pair = [replace(span, ids=span.ids[n : n + 1], start=n, wanted="last") for span in (second, first)]
        step = mixed.forward(pair)
        assert np.array_equal(step[1], alone.forward([replace(first, wanted="all")])[n])


def test_torch_rows_are_those_of_their_own_adapter() -> None:
    model = small()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modules, trainable = list(model.modules()), [p.requires_grad for p in model.parameters()]
    running = by_torch(model)
    spans = spans_of_all(running)
    plain = running.forward([span for span in spans if span.adapter is None])
    version = running.version
    with_three(running)
    found = running.forward(spans)
    row, base = 0, []
    for span in spans:
        logits = found[row : row + len(span.ids)]
        row += len(span.ids)
        assert np.abs(logits - running.forward([span])).max() < 1e-4
        base += [logits] if span.adapter is None else []
    assert np.array_equal(np.concatenate(base), plain), "to the last bit: no other rows are in the pass"
    # Nothing is left of them on the model.
    assert list(model.modules()) == modules and running.version == version
    assert [p.requires_grad for p in model.parameters()] == trainable
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_torch_takes_an_adapter_off_also_where_the_pass_fails() -> None:
    model = small()
    running = by_torch(model)
    running.add_adapter("a", random_adapter(SMALL))
    modules = list(model.modules())
    with pytest.raises(ModelError, match="token ids"):
        running.forward([Span([SMALL.vocab_size + 5], 0, [0], "last", "a")])
    assert list(model.modules()) == modules


def test_beside_packed_integers_an_adapter_is_halves_and_stays_near() -> None:
    model, ids = small(), random_ids(60)
    tensors = packed_weights(model.state_dict(), "q8_0")
    dequantised = Decoder(SMALL).eval()
    dequantised.load_state_dict(
        {name: unpacked(tensor).reshape(model.state_dict()[name].shape) for name, tensor in tensors.items()}
    )
    for dora in (False, True):
        weights = random_adapter(SMALL, dora=dora, rank=8)
        running = native(model, "q8_0", activations="float")
        running.add_adapter("a", weights)
        found = running.forward([Span(ids, 0, [0, 1], "all", "a")])
        expected = expected_of(dequantised, weights, ids)
        by_halves, by_packing = found - expected, expected - expected_of(model, weights, ids)
        assert 0 < (by_halves**2).mean() ** 0.5 < (by_packing**2).mean() ** 0.5 / 20


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e6])
def test_halves_keep_their_bits_however_unlike_a_and_b_are(factor: float) -> None:
    low_rank = random_adapter(SMALL, rank=4).layers["blocks.0.attention.query"]
    a, b = packed_low_rank(LowRank(low_rank.a_RI * factor, low_rank.b_OR), 2.0, half=True)
    product = b.data.view(np.float16).astype(np.float64) @ a.data.view(np.float16).astype(np.float64)
    expected = 2.0 * factor * low_rank.b_OR.astype(np.float64) @ low_rank.a_RI
    assert a.kind == b.kind == "f16"
    assert np.abs(product - expected).max() < 2e-3 * np.abs(expected).max()


def test_numbers_beyond_halves_stay_floats() -> None:
    low_rank = LowRank(np.full((1, 4), 1e30, np.float32), np.ones((2, 1), np.float32))
    assert packed_low_rank(low_rank, 1.0, half=True)[0].kind == "f32"
    low_rank = LowRank(np.full((1, 4), 1e-6, np.float32), np.full((2, 1), 1e-6, np.float32))
    assert packed_low_rank(low_rank, 1.0, half=True)[0].kind == "f32"
    zeros = LowRank(np.ones((1, 4), np.float32), np.zeros((2, 1), np.float32))
    assert packed_low_rank(zeros, 1.0, half=True)[0].kind == "f16"


def test_digests_tell_adapters_apart() -> None:
    one = random_adapter(SMALL, seed=1)
    again = random_adapter(SMALL, seed=1)
    assert digest_of(one) == digest_of(again)
    layer = "blocks.0.attention.query"
    changed = one.layers[layer].b_OR.copy()
    changed[0, 0] += 1e-6
    others = [
        random_adapter(SMALL, seed=2),
        random_adapter(SMALL, seed=1, dora=True),
        replace(one, config=replace(one.config, alpha=5.0)),
        replace(one, layers=one.layers | {layer: replace(one.layers[layer], b_OR=changed)}),
        replace(one, layers={name: low for name, low in one.layers.items() if name != layer}),
    ]
    digests = {digest_of(weights) for weights in (one, *others)}
    assert len(digests) == 6 and all(len(digest) == 16 for digest in digests)


@pytest.mark.parametrize("kind", RUNTIMES)
def test_what_does_not_fit_is_refused(kind: str) -> None:
    running = RUNTIMES[kind](small())
    good = random_adapter(SMALL)
    running.add_adapter("good", good)
    layer = "blocks.0.attention.query"
    low = good.layers[layer]

    def like(**change: np.ndarray) -> AdapterWeights:
        return replace(good, layers=good.layers | {layer: replace(low, **change)})

    other = random_adapter(replace(SMALL, width=32))
    deeper = random_adapter(replace(SMALL, layers=3, sliding_layers=None, sliding_window=None))
    for weights, said in (
        (replace(good, layers={}), "no layer"),
        (other, "for another base"),
        (deeper, "blocks.2.attention.query, which is no linear layer"),
        (replace(good, layers={"unembedding": low}), "no linear layer of this model's blocks"),
        (replace(good, layers={"blocks.0.attention_norm": low}), "no linear layer of this model's blocks"),
        (like(a_RI=low.a_RI[:2]), "don't fit each other"),
        (like(a_RI=low.a_RI[:0], b_OR=low.b_OR[:, :0]), "rank 0"),
        (like(b_OR=low.b_OR * np.float32("nan")), "NaN"),
        (like(length_O=np.ones(len(low.b_OR), np.float32)), "lengths"),
        (
            random_adapter(SMALL, dora=False).__class__(replace(good.config, dora=True), good.layers),
            "lengths",
        ),
    ):
        with pytest.raises(ModelError, match=said):
            running.add_adapter("new", weights)
    with pytest.raises(ConfigError, match="'good' on this model already"):
        running.add_adapter("good", good)
    with pytest.raises(ConfigError, match="needs a name"):
        running.add_adapter("", good)
    with pytest.raises(ConfigError, match=r"no adapter 'new' on this model \(there: 'good'\)"):
        running.forward([Span([1], 0, [0], "last", "new")])
    assert list(running.adapters) == ["good"]


def test_a_model_that_has_adapters_of_its_own_takes_no_further_ones() -> None:
    model = Decoder(SMALL).eval()
    attach(model, AdapterConfig(rank=2))
    with pytest.raises(ModelError, match="merge or detach"):
        by_torch(model).add_adapter("a", random_adapter(SMALL))
    assert is_adapted(model)
