"""Whole models: what layers are calibrated on, GPTQ end to end, and bits chosen by sensitivity."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from shizuku.errors import ConfigError
from shizuku.models.decoder import Decoder
from shizuku.quantization.calibration import BlockByBlock, Windows
from shizuku.quantization.policy import Candidate, allot, candidates
from shizuku.quantization.scheme import SCHEMES, Scheme, for_tables
from shizuku.quantization.surgery import matrices, quantized_layers
from shizuku.quantization.whole import output_table, quantize_model
from small_models import small_model

GENERATOR = torch.Generator().manual_seed(4)
IDS = torch.randint(0, 400, (6, 32), generator=GENERATOR)
SEGMENTS = torch.where(torch.arange(32) < torch.tensor([32, 32, 20, 32, 9, 32])[:, None], 0, -1)
WINDOWS: Windows = [(IDS[:4], SEGMENTS[:4]), (IDS[4:], SEGMENTS[4:])]


def _by_hooks(model: Decoder, name: str) -> Tensor:
    """The mean of x x^T over the inputs of a layer, padding left out, from one pass of the whole model."""
    seen: list[Tensor] = []
    layer = model.get_submodule(name)
    handle = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    model(IDS, segments_BT=SEGMENTS)
    handle.remove()
    x = seen[0][SEGMENTS >= 0]
    return x.t() @ x / len(x)


@pytest.mark.parametrize("shape", ["llama", "qwen3", "gpt2"])
def test_blocks_see_what_they_see_in_the_whole_model(shape: str) -> None:
    model = small_model(shape)
    text = BlockByBlock(model, WINDOWS)
    assert all(type(block).__name__ == "Block" for block in model.blocks), "the blocks are back"
    for number in range(2):
        inputs = text.inputs_of(number)
        for part in ("attention.query", "attention.output", "feedforward.down"):
            name = f"blocks.{number}.{part}"
            found = inputs.hessian(name)
            assert found is not None
            torch.testing.assert_close(found, _by_hooks(model, name), rtol=1e-4, atol=1e-5)
        text.advance(number)


def test_later_blocks_are_calibrated_on_the_rounded_ones_before_them() -> None:
    model, names = small_model(), list(matrices(small_model()))
    first = {name: Scheme(bits=2, group_size=0) for name in names if name.startswith("blocks.0.")}
    last = {"blocks.1.feedforward.up": Scheme(method="gptq", bits=3, group_size=16)}
    both = quantize_model(model, {**first, **last}, WINDOWS)
    by_parts = small_model()
    quantize_model(by_parts, first, WINDOWS)
    quantize_model(by_parts, last, WINDOWS)
    for name, array in model.blocks[1].feedforward.up.arrays().items():
        assert torch.equal(array, by_parts.blocks[1].feedforward.up.arrays()[name])
    apart = small_model()
    assert quantize_model(apart, last, WINDOWS) != {name: both[name] for name in last}


def test_gptq_is_closer_than_rounding_for_the_whole_model() -> None:
    exact = small_model()(IDS).detach()
    assert output_table(small_model()) == "embedding"

    def errors(method: str) -> tuple[float, float]:
        model = small_model()
        scheme = Scheme(method=method, bits=3, group_size=32)  # type: ignore[arg-type]
        reports = quantize_model(model, dict.fromkeys(matrices(model), scheme), WINDOWS)
        assert list(reports) == list(quantized_layers(model)) == list(matrices(small_model()))
        seen = [r.output_error for name, r in reports.items() if name != "embedding" and r.output_error]
        assert len(seen) == len(reports) - 1
        return sum(seen), float((model(IDS).detach() - exact).square().mean())

    # Random weights give inputs that share few directions: there is less to make good than in a real model.
    layers, logits = (gptq / rtn for gptq, rtn in zip(errors("gptq"), errors("rtn"), strict=True))
    assert layers < 0.8 and logits < 0.9, (layers, logits)


def test_without_text_gptq_rounds_and_says_no_output_errors() -> None:
    models = small_model(), small_model()
    for model, method in zip(models, ("gptq", "rtn"), strict=True):
        scheme = Scheme(method=method, bits=3)  # type: ignore[arg-type]
        reports = quantize_model(model, dict.fromkeys(matrices(model), scheme), [])
        assert all(report.output_error is None for report in reports.values())
    assert torch.equal(models[0](IDS), models[1](IDS))


# ---- bits by sensitivity


def test_sensitivity_is_measured_and_leaves_the_model_as_it_was() -> None:
    model = small_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    schemes = dict.fromkeys(matrices(model), Scheme(bits=4, group_size=32))
    found = candidates(model, schemes, WINDOWS, bits=(2, 4, 8))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert list(model.state_dict()) == list(before) and set(found) == set(schemes)
    for options in found.values():
        assert [one.scheme.bits for one in options] == [2, 4, 8]
        assert options[0].divergence > options[1].divergence > options[2].divergence > 0
        assert options[0].bytes < options[1].bytes < options[2].bytes
    # The first is measured, not derived: the same as packing that layer alone.
    name = "blocks.0.feedforward.down"
    alone = small_model()
    quantize_model(alone, {name: replace(schemes[name], bits=2)}, WINDOWS)
    logp, logq = (
        m(IDS, segments_BT=SEGMENTS).detach().log_softmax(-1)[SEGMENTS >= 0] for m in (model, alone)
    )
    assert found[name][0].divergence == pytest.approx(
        float((logp.exp() * (logp - logq)).sum(-1).mean()), rel=1e-3
    )


def _candidates(*divergences: float) -> list[Candidate]:
    return [
        Candidate(Scheme(bits=bits), bytes=100 * bits, divergence=divergence)
        for bits, divergence in zip((2, 4, 8), divergences, strict=True)
    ]


def test_bytes_go_where_they_buy_the_most() -> None:
    found = {
        "a": _candidates(1.0, 0.1, 0.01),
        "b": _candidates(0.1, 0.01, 0.0),
        "c": _candidates(0.5, 0.4, 0.0),
    }
    assert {n: one.scheme.bits for n, one in allot(found, 600).items()} == {"a": 2, "b": 2, "c": 2}
    assert {n: one.scheme.bits for n, one in allot(found, 850).items()} == {"a": 4, "b": 2, "c": 2}
    # c's step to 4 bits buys less for a byte than its step to 8, which is taken at once.
    assert {n: one.scheme.bits for n, one in allot(found, 1400).items()} == {"a": 4, "b": 2, "c": 8}
    assert {n: one.scheme.bits for n, one in allot(found, 9999).items()} == {"a": 8, "b": 8, "c": 8}
    for budget in range(600, 2500, 50):
        assert sum(one.bytes for one in allot(found, budget).values()) <= budget
    with pytest.raises(ConfigError, match="take at least 600 bytes and 599 are left"):
        allot(found, 599)


# ---- schemes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 9}, "--bits 9: expected 2 to 8"),
        ({"bits": 1}, "--bits 1"),
        ({"method": "codebook", "bits": 5}, "expected 2 to 4 for --method codebook"),
        ({"group_size": 4}, "--group-size 4"),
        ({"outliers": 0.5}, "--outliers 0.5"),
    ],
)
def test_schemes_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Scheme(**settings)  # type: ignore[arg-type]


def test_tables_take_eight_bits_unless_told_otherwise() -> None:
    for scheme in SCHEMES.values():
        table = for_tables(scheme, None)
        assert table is not None and (table.bits, table.method) == (8, "rtn")
    assert for_tables(SCHEMES["gptq4"], 32) is None
    table = for_tables(SCHEMES["gptq4"], 4)
    assert table is not None and (table.bits, table.method) == (4, "gptq")
