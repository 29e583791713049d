"""Patches and ablations against surgery on the module itself, and against each other."""

import numpy as np
import pytest
import torch
from peers import randomise

from shizuku.errors import ModelError
from shizuku.interpretability.effects import ablation_effects, patch_effects
from shizuku.interpretability.patching import (
    Place,
    ablate_heads,
    activations,
    head_at,
    logit_difference,
    patch,
    run_on,
)
from shizuku.models.decoder import Decoder, DecoderConfig

CLEAN, CORRUPTED = [5, 6, 7, 8, 9, 10], [5, 6, 70, 8, 9, 10]
KINDS = {
    "grouped": {"kv_heads": 2, "qk_norm": True},
    "windowed": {"sliding_window": 3, "norm_placement": "both", "attention_cap": 2.0},
    "parallel": {"parallel_residual": True, "attention_output_bias": True, "residual_multiplier": 0.5},
}


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> Decoder:
    shape = {"vocab_size": 101, "context": 32, "width": 32, "layers": 3, "heads": 4, "ffn_width": 48}
    decoder = Decoder(DecoderConfig(**shape, **KINDS[request.param])).eval()
    randomise(decoder)
    return decoder


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool((one - other).abs().max() < 1e-5 * other.std())


@torch.no_grad()
def without(
    model: Decoder, ids: list[int], layer: int, head: int, instead: torch.Tensor | None
) -> torch.Tensor:
    """Logits where what enters the output matrix is changed by hand; None: its columns are set to zero."""
    output, width = model.blocks[layer].attention.output, model.config.head_width
    columns = slice(head * width, (head + 1) * width)
    if instead is None:
        kept = output.weight.clone()
        output.weight[:, columns] = 0
        logits = model(torch.tensor([ids]))[0]
        output.weight.copy_(kept)
        return logits

    def put(module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        changed = inputs[0].clone()
        changed[..., columns] = instead
        return (changed,)

    handle = output.register_forward_pre_hook(put)
    logits = model(torch.tensor([ids]))[0]
    handle.remove()
    return logits


@torch.no_grad()
def entering(model: Decoder, ids: list[int], layer: int, head: int) -> torch.Tensor:
    """What enters the output matrix of a layer from one head [T, K]."""
    kept = []
    output, width = model.blocks[layer].attention.output, model.config.head_width
    handle = output.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0][0]))
    model(torch.tensor([ids]))
    handle.remove()
    return kept[0][:, head * width : (head + 1) * width]


def test_ablation_is_what_editing_the_output_matrix_gives(model: Decoder) -> None:
    other, longer = [9, 8, 7, 6, 5, 4, 3, 2], [1, 2, 3]
    for layer, head in ((0, 0), (1, 3), (2, 2)):
        zero = ablate_heads(model, CLEAN, [(layer, head)])
        assert close(zero, without(model, CLEAN, layer, head, None))
        assert not close(zero, run_on(model, CLEAN))
        own = entering(model, CLEAN, layer, head)
        mean = ablate_heads(model, CLEAN, [(layer, head)], how="mean")
        assert close(mean, without(model, CLEAN, layer, head, own.mean(0)))
        both = torch.cat([entering(model, text, layer, head) for text in (other, longer)])
        mean = ablate_heads(model, CLEAN, [(layer, head)], how="mean", reference=[other, longer])
        assert close(mean, without(model, CLEAN, layer, head, both.mean(0)))
        drawn = ablate_heads(model, CLEAN, [(layer, head)], how="resample", reference=[other, longer])
        expected = entering(model, other, layer, head)[: len(CLEAN)]
        assert close(drawn, without(model, CLEAN, layer, head, expected))


def test_ablation_is_patching_of_zeros_and_means(model: Decoder) -> None:
    heads = [(0, 1), (2, 3), (2, 0)]
    kept = activations(model, CLEAN, "*.heads")
    zeros = {name: torch.zeros_like(one) for name, one in kept.items()}
    means = {name: one.mean(2, keepdim=True).expand_as(one) for name, one in kept.items()}
    places = [head_at(*head) for head in heads]
    assert torch.equal(patch(model, CLEAN, places, zeros), ablate_heads(model, CLEAN, heads))
    assert close(patch(model, CLEAN, places, means), ablate_heads(model, CLEAN, heads, how="mean"))


def test_nothing_patched_is_corrupted_and_everything_is_clean(model: Decoder) -> None:
    clean, corrupted = run_on(model, CLEAN), run_on(model, CORRUPTED)
    assert not close(clean, corrupted)
    parts = ("embedding", "*.heads", "*.feedforward")
    source = activations(model, CLEAN, *parts)
    assert torch.equal(patch(model, CORRUPTED, [], source), corrupted)
    assert torch.equal(patch(model, CORRUPTED, [Place(name) for name in source], source), clean)
    one_by_one = [Place("embedding", position=at) for at in range(len(CLEAN))]
    assert torch.equal(patch(model, CORRUPTED, one_by_one, source), clean)
    assert torch.equal(patch(model, CORRUPTED, [Place("embedding", position=2)], source), clean)
    own = activations(model, CORRUPTED, *parts)
    assert torch.equal(patch(model, CORRUPTED, [Place(name) for name in own], own), corrupted)


def test_a_patch_at_a_token_is_surgery_there(model: Decoder) -> None:
    source = activations(model, CLEAN, "*.heads")
    patched = patch(model, CORRUPTED, [head_at(1, 2, 4)], source)
    changed = entering(model, CORRUPTED, 1, 2).clone()
    changed[4] = entering(model, CLEAN, 1, 2)[4]
    assert close(patched, without(model, CORRUPTED, 1, 2, changed))
    assert torch.equal(patched[:4], run_on(model, CORRUPTED)[:4])


def test_effects_are_single_patches_in_batches(model: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    score = logit_difference(3, 4)
    clean, corrupted = (score(run_on(model, ids)[None]) for ids in (CLEAN, CORRUPTED))
    source = activations(model, CLEAN, "*")
    found = patch_effects(model, CLEAN, CORRUPTED, score)
    monkeypatch.setattr("shizuku.interpretability.effects.ROW_BYTES", 5 * len(CLEAN) * 101 * 4)
    in_parts = patch_effects(model, CLEAN, CORRUPTED, score)
    np.testing.assert_allclose(found.values, in_parts.values, atol=1e-4)
    for layer in range(3):
        for head in range(4):
            alone = score(patch(model, CORRUPTED, [head_at(layer, head)], source)[None])
            expected = ((alone - corrupted) / (clean - corrupted)).item()
            assert found.values[layer, head] == pytest.approx(expected, abs=1e-3)
    streams = patch_effects(model, CLEAN, CORRUPTED, score, by="position").values
    assert streams.shape == (3, 6) and streams[2, :5] == pytest.approx([0] * 5)
    assert streams[2, 5] == pytest.approx(1) and streams[:, :2] == pytest.approx(np.zeros((3, 2)))
    assert patch_effects(model, CLEAN, CORRUPTED, score, by="layer").values.shape == (3, 2)


def test_effects_of_ablations_are_single_ablations(model: Decoder) -> None:
    score = logit_difference(3, 4, position=-2)
    for how in ("zero", "mean", "resample"):
        named = {"how": how, "reference": [CORRUPTED]}
        found = ablation_effects(model, CLEAN, score, **named)
        for head in ((0, 0), (2, 1)):
            without_it = score(ablate_heads(model, CLEAN, [head], **named)[None]).item()
            assert found.values[head] == pytest.approx(without_it - found.clean, abs=1e-3)


def test_what_cannot_be_patched_is_refused(model: Decoder) -> None:
    source = activations(model, CLEAN, "*")
    score = logit_difference(3, 4)
    for call, message in (
        (lambda: patch(model, CLEAN[:3], [head_at(0, 0)], source), "as many tokens"),
        (lambda: patch(model, CLEAN, [head_at(0, 4)], source), "head 4, but there are 0 to 3"),
        (lambda: patch(model, CLEAN, [Place("embedding", head=1)], source), "has no heads"),
        (lambda: patch(model, CLEAN, [head_at(0, 0, 6)], source), "token 6 of a text of 6"),
        (lambda: patch(model, CLEAN, [head_at(0, 0)], {}), "nothing was recorded at"),
        (lambda: ablate_heads(model, CLEAN, [(3, 0)]), "no hook point is called"),
        (lambda: ablate_heads(model, CLEAN, [(0, 7)]), "head 7"),
        (lambda: ablate_heads(model, CLEAN, [(0, 0)], how="resample", reference=[[1]]), "at least 6 tokens"),
        (lambda: patch_effects(model, CLEAN, CLEAN[:4], score), "6 tokens and the corrupted one 4"),
        (lambda: patch_effects(model, CLEAN, CLEAN, score), "the same score"),
    ):
        with pytest.raises(ModelError, match=message):
            call()
        assert model.hooks is None
