"""The config's checks, the model's refusals, its size and its first weights."""

import math

import pytest
import torch
import torch.nn.functional as F
from peers import token_ids

from shizuku.checkpoints.huggingface import config_from_huggingface
from shizuku.config import from_dict
from shizuku.errors import ConfigError, ModelError
from shizuku.models.decoder import Decoder, DecoderConfig, initialise, parameter_count
from shizuku.models.decoder_config import ACTIVATION_NAMES, RotaryScaling
from shizuku.models.layers.feedforward import ACTIVATIONS, FeedForward
from shizuku.models.layers.visibility import alibi_slopes, complete_layout, plain_layout

SHAPE = {"vocab_size": 257, "context": 32, "width": 24, "layers": 2, "heads": 4, "ffn_width": 40}
LINEAR = RotaryScaling(kind="linear", factor=2.0)


def test_gpt2_small_has_exactly_its_parameters() -> None:
    """The article says 117M; it is 124,439,808."""
    with torch.device("meta"):
        model = Decoder(config_from_huggingface({"model_type": "gpt2"}))
    assert parameter_count(model) == 124_439_808
    assert parameter_count(model, embeddings=False) == 124_439_808 - (50_257 + 1_024) * 768


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 25}, "width 25 is no multiple of heads 4: set head_width"),
        ({"kv_heads": 3}, "heads 4 is no multiple of kv_heads 3"),
        ({"head_width": 7}, "head_width 7 is odd"),
        ({"layers": 0}, "layers is 0"),
        ({"ffn_width": -1}, "ffn_width is -1"),
        ({"norm": "batchnorm"}, "norm is 'batchnorm'; expected one of rmsnorm, layernorm"),
        ({"activation": "tanh"}, "activation is 'tanh'; expected one of silu"),
        ({"positions": "absolute"}, "positions is 'absolute'"),
        ({"norm_placement": "within"}, "norm_placement is 'within'; expected one of before, after, both"),
        ({"norm": "layernorm", "norm_offset": True}, "norm_offset is set, but norm 'layernorm'"),
        ({"shared_norm": True}, "shared_norm needs parallel_residual"),
        ({"qk_norm_joint": True}, "qk_norm_joint is set without qk_norm"),
        ({"rotary_share": 0.0}, "rotary_share is 0.0"),
        ({"rotary_share": 0.5}, "head_width 6 is odd at rotary_share 0.5"),
        ({"rotary_share": 0.1}, "head_width 6 at rotary_share 0.1 leaves nothing to turn"),
        ({"rope_local_theta": 10.0}, "rope_local_theta is set without a sliding_window"),
        ({"positions": "none", "rope_scaling": LINEAR}, "rope_scaling is set, but positions are 'none'"),
        ({"attention_cap": 0.0}, "attention_cap is 0.0; it must be above 0"),
        ({"unembedding_bias": True}, "unembedding_bias needs tie_embeddings to be off"),
        ({"norm_bias": True}, "norm_bias is set, but norm 'rmsnorm' has no bias"),
        ({"norm_eps": 0.0}, "norm_eps is 0.0"),
        ({"rope_theta": 0.0}, "rope_theta is 0.0"),
        ({"sliding_window": 0}, "sliding_window is 0"),
        ({"sliding_layers": (True, False)}, "sliding_layers is set without a sliding_window"),
        ({"sliding_window": 4, "sliding_layers": (True,)}, "sliding_layers has 1 entries for 2 layers"),
    ],
)
def test_contradictions_are_refused_by_name(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DecoderConfig(**(SHAPE | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "longrope"}, "kind: expected one of 'none', 'linear', 'dynamic', 'llama3', 'yarn'"),
        ({"kind": "linear", "factor": 0.5}, "rope_scaling.factor is 0.5"),
        ({"kind": "yarn", "factor": 2.0}, "'yarn' needs rope_scaling.original_context"),
        ({"high_frequency": 0.5}, "rope_scaling.low_frequency must be above 0 and below"),
        ({"slow_turns": 0.0}, "rope_scaling.slow_turns must be above 0 and below"),
    ],
)
def test_contradictions_of_a_rotary_scaling_are_refused_by_name(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(RotaryScaling, changes)


def test_zeros_are_resolved_and_equal_meanings_are_equal() -> None:
    config = DecoderConfig(**SHAPE)
    assert (config.kv_heads, config.head_width) == (4, 6)
    assert DecoderConfig(**SHAPE, attention_scale=6**-0.5) == config
    windowed = DecoderConfig(**SHAPE, sliding_window=4)
    assert DecoderConfig(**SHAPE, sliding_window=4, sliding_layers=(True, True)) == windowed
    assert windowed.windows == (4, 4)
    yarn = {"kind": "yarn", "factor": 4.0, "original_context": 8}
    assert RotaryScaling(**yarn, temperature=0.1 * math.log(4.0) + 1.0) == RotaryScaling(**yarn)


def test_norms_with_offset_start_at_one() -> None:
    model = Decoder(DecoderConfig(**SHAPE, norm_offset=True, qk_norm=True, norm_placement="both"))
    initialise(model, 0)
    norms = [weight for name, weight in model.named_parameters() if name.endswith("norm.weight")]
    assert len(norms) == 2 * 6 + 1
    assert not any(weight.any() for weight in norms)
    x_BTD = torch.randn(2, 3, 24, generator=torch.Generator().manual_seed(0))
    expected = x_BTD / (x_BTD.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    assert torch.allclose(model.final_norm(x_BTD), expected, atol=1e-6)


def test_names_of_activations_are_those_that_have_formulas() -> None:
    assert tuple(ACTIVATIONS) == ACTIVATION_NAMES


@pytest.mark.parametrize(
    ("heads", "slopes"),
    [(1, [8]), (2, [4, 8]), (8, [1, 2, 3, 4, 5, 6, 7, 8]), (6, [2, 4, 6, 8, 1, 3]), (3, [4, 8, 2])],
)
def test_alibi_slopes_are_the_papers(heads: int, slopes: list[int]) -> None:
    """Powers of one half, by the exponent; the published series for 8 heads is 1/2 to 1/256."""
    found = alibi_slopes(heads, torch.device("cpu"))
    assert torch.equal(found, 0.5 ** torch.tensor(slopes, dtype=torch.float32))


@pytest.mark.parametrize("positions", ["rotary", "learned", "alibi", "none"])
def test_more_than_the_context_is_refused(positions: str) -> None:
    model = Decoder(DecoderConfig(**SHAPE, positions=positions))
    with pytest.raises(ModelError, match=r"33 tokens .* more than the model's context of 32"):
        model(token_ids(1, 33))
    with pytest.raises(ModelError, match="positions run from 0 to 32, but the model's context is 32"):
        model(token_ids(1, 2), positions_BT=torch.tensor([[0, 32]]))
    state = model.new_state(1, capacity=1)
    model(token_ids(1, 32), state=state)
    with pytest.raises(ModelError, match=r"33 tokens \(32 of them in the state\)"):
        model(token_ids(1, 1), state=state)


@pytest.mark.parametrize("filler", [-100, -1, 257])
def test_padding_ids_without_a_mask_are_refused(filler: int) -> None:
    ids_BT = token_ids(2, 5)
    ids_BT[1, 3:] = filler
    with pytest.raises(
        ModelError, match=r"but the vocabulary has 257 .* Padding is any valid id, segment -1"
    ):
        Decoder(DecoderConfig(**SHAPE))(ids_BT)


def test_shapes_that_do_not_fit_are_refused() -> None:
    model = Decoder(DecoderConfig(**SHAPE))
    ids_BT = token_ids(2, 5)
    with pytest.raises(ModelError, match="either ids_BT or embeddings_BTD"):
        model()
    with pytest.raises(ModelError, match="and not both"):
        model(ids_BT, embeddings_BTD=model.embedding(ids_BT))
    with pytest.raises(ModelError, match=r"embeddings_BTD has shape \(2, 5, 3\)"):
        model(embeddings_BTD=torch.zeros(2, 5, 3))
    with pytest.raises(ModelError, match="neither empty"):
        model(ids_BT[:, :0])
    with pytest.raises(ModelError, match=r"segments_BT has shape \(1, 4\); expected \(2, 5\)"):
        complete_layout(None, torch.zeros(1, 4, dtype=torch.long), plain_layout(2, 0, ids_BT.device), 5)
    with pytest.raises(ModelError, match="2 rows, but the state was made for 3"):
        model(ids_BT, state=model.new_state(3, capacity=8))


def test_initial_weights_follow_from_the_seed_alone() -> None:
    config = DecoderConfig(**SHAPE)
    first, second, other = Decoder(config), Decoder(config), Decoder(config)
    initialise(first, 3)
    torch.manual_seed(0)
    initialise(second, 3)
    initialise(other, 4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.embedding.weight, other.embedding.weight)


def test_initial_logits_are_nearly_uniform_and_outputs_can_start_at_zero() -> None:
    model = Decoder(DecoderConfig(**SHAPE, tie_embeddings=False))
    initialise(model, 0, zero_outputs=True)
    assert not model.blocks[0].attention.output.weight.any()
    assert not model.blocks[1].feedforward.down.weight.any()
    initialise(model, 0)
    ids_BT = token_ids(4, 32)
    loss = F.cross_entropy(model(ids_BT).flatten(0, 1), token_ids(4, 32, seed=2).flatten())
    assert abs(loss.item() - torch.log(torch.tensor(257.0)).item()) < 1.0


def test_every_activation_equals_its_formula() -> None:
    x = torch.linspace(-4, 4, 101)
    formulas = {
        "silu": x / (1 + torch.exp(-x)),
        "gelu": x * 0.5 * (1 + torch.erf(x / 2**0.5)),
        "gelu_tanh": 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
        "relu": x.clamp(min=0),
        "relu2": x.clamp(min=0) ** 2,
    }
    assert set(formulas) == set(ACTIVATIONS)
    for name, expected in formulas.items():
        assert torch.allclose(ACTIVATIONS[name](x), expected, atol=1e-6), name


def test_the_gate_is_activated_and_the_other_projection_is_not() -> None:
    layer = FeedForward(3, 5, activation="relu2", gated=True, bias=True)
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    up, down, gate = layer.up, layer.down, layer.gate
    hidden = F.relu(x @ gate.weight.T + gate.bias) ** 2 * (x @ up.weight.T + up.bias)
    assert torch.allclose(layer(x), hidden @ down.weight.T + down.bias, atol=1e-6)
