"""Hooks see what the model computes, can change it, and leave nothing behind."""

from dataclasses import replace

import pytest
import torch
from peers import difference, randomise, token_ids

from shizuku.errors import ModelError
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.models.hooks import hook_names, hooked, recorded

CONFIG = DecoderConfig(
    vocab_size=257, context=64, width=48, layers=2, heads=6, kv_heads=2, ffn_width=80, qk_norm=True,
    sliding_window=9, sliding_layers=(False, True),
)  # fmt: skip


KINDS = {
    "plain": {},
    "alibi": {"positions": "alibi", "attention_scale": 0.2},
    "capped": {"attention_cap": 2.0, "norm_placement": "both", "residual_multiplier": 0.5},
}


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> Decoder:
    decoder = Decoder(replace(CONFIG, **KINDS[request.param])).eval()
    randomise(decoder)
    return decoder


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def test_the_open_pattern_equals_the_fused_kernel(model: Decoder) -> None:
    ids_BT = token_ids(2, 24)
    plain = model(ids_BT)
    with recorded(model, "*") as kept:
        opened = model(ids_BT)
    assert difference(opened, plain) < 1e-5
    assert list(kept) == hook_names(model)
    assert torch.equal(kept["logits"], opened)
    for layer, window in enumerate((24, 9)):
        pattern_BHTS = kept[f"blocks.{layer}.attention.pattern"]
        assert pattern_BHTS.shape == (2, 6, 24, 24)
        assert torch.allclose(pattern_BHTS.sum(-1), torch.ones(2, 6, 24), atol=1e-6)
        distance_TS = torch.arange(24)[:, None] - torch.arange(24)
        assert not pattern_BHTS[..., (distance_TS < 0) | (distance_TS >= window)].any()


def test_names_and_shapes(model: Decoder) -> None:
    with recorded(model, "*") as kept:
        model(token_ids(2, 5))
    assert kept["blocks.1.attention.query"].shape == (2, 6, 5, 8)
    assert kept["blocks.1.attention.key"].shape == kept["blocks.1.attention.value"].shape == (2, 2, 5, 8)
    attention, feedforward = kept["blocks.1.attention"], kept["blocks.1.feedforward"]
    assert torch.allclose(kept["blocks.0.residual"] + attention + feedforward, kept["blocks.1.residual"])
    assert torch.allclose(model.final_norm(kept["blocks.1.residual"]), kept["final_norm"])


def test_the_pattern_is_right_with_a_state_and_padding(model: Decoder) -> None:
    ids_BT = token_ids(2, 20)
    segments_BT = torch.zeros(2, 15, dtype=torch.long)
    segments_BT[1, :4] = -1
    results = []
    for names in ([], ["blocks.*.attention.pattern"]):
        state = model.new_state(2, capacity=4)
        with recorded(model, *names) as kept:
            results.append(model(ids_BT[:, :15], segments_BT=segments_BT, state=state)[segments_BT == 0])
            results.append(model(ids_BT[:, 15:16], state=state))
            results.append(model(ids_BT[:, 16:], state=state))
    for fused, opened in zip(results[:3], results[3:], strict=True):
        assert difference(opened, fused) < 1e-5
    assert kept["blocks.0.attention.pattern"].shape == (2, 6, 4, 20)
    assert not kept["blocks.0.attention.pattern"][1, ..., :4].any()


def test_a_hook_can_replace_what_it_sees(model: Decoder) -> None:
    ids_BT = token_ids(1, 6)
    with hooked(model, {"blocks.1.attention": lambda x, name: torch.zeros_like(x)}):
        silenced = model(ids_BT)
    model.blocks[1].attention.output.weight.zero_()
    assert torch.allclose(model(ids_BT), silenced)


def test_a_second_set_of_hooks_is_refused_and_the_first_stays(model: Decoder) -> None:
    with recorded(model, "logits") as kept:
        with pytest.raises(ModelError, match="has hooks already"), recorded(model, "final_norm"):
            pass
        model(token_ids(1, 3))
    assert list(kept) == ["logits"]


def test_hooks_are_gone_after_an_error_too(model: Decoder) -> None:
    def fail(x: torch.Tensor, name: str) -> None:
        raise RuntimeError(name)

    before = model(token_ids(1, 4))
    with (
        pytest.raises(RuntimeError, match=r"blocks\.0\.residual"),
        hooked(model, {"blocks.0.residual": fail}),
    ):
        model(token_ids(1, 4))
    assert model.hooks is None
    assert torch.equal(model(token_ids(1, 4)), before)


def test_unknown_names_are_refused(model: Decoder) -> None:
    unknown = {"blocks.2.residual": lambda x, name: None}
    with pytest.raises(ModelError, match=r"is called blocks\.2\.residual"), hooked(model, unknown):
        pass
    with pytest.raises(ModelError, match=r"no hook point matches 'block\.\*'"), recorded(model, "block.*"):
        pass


def test_what_heads_read_is_what_the_output_projection_gets(model: Decoder) -> None:
    with recorded(model, "blocks.*.attention.heads") as kept:
        model(token_ids(2, 5))
    heads_BHTK = kept["blocks.1.attention.heads"]
    assert heads_BHTK.shape == (2, 6, 5, 8)
    got = []
    handle = model.blocks[1].attention.output.register_forward_pre_hook(
        lambda _, inputs: got.append(inputs[0])
    )
    model(token_ids(2, 5))
    handle.remove()
    assert torch.equal(heads_BHTK.transpose(1, 2).reshape(2, 5, 48), got[0])
