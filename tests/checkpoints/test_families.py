"""Foreign configs: translated both ways, in old and new spellings, or refused by the name of the key."""

import math

import pytest
from published_configs import PUBLISHED

from shizuku.checkpoints.families import families, family_of
from shizuku.checkpoints.huggingface import config_from_huggingface, huggingface_family, to_huggingface
from shizuku.checkpoints.weights import expected_shapes
from shizuku.errors import CheckpointError
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.models.decoder_config import RotaryScaling

LAYERNORM = {"norm": "layernorm", "norm_bias": True, "gated": False}
LLAMA = {
    "model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 16,
}  # fmt: skip
QWEN3 = {**LLAMA, "model_type": "qwen3", "head_dim": 16}
NEOX = {**LLAMA, "model_type": "gpt_neox"}
PHI = {**LLAMA, "model_type": "phi"}
GEMMA = {**LLAMA, "model_type": "gemma3_text"}
NEO = {
    "model_type": "gpt_neo", "vocab_size": 64, "hidden_size": 32, "num_layers": 2, "num_heads": 4,
    "attention_types": [[["global", "local"], 1]],
}  # fmt: skip
BLOOM = {
    "model_type": "bloom", "vocab_size": 64, "n_embed": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
}  # fmt: skip
OURS = {"vocab_size": 64, "context": 16, "width": 32, "layers": 2, "heads": 4, "ffn_width": 48}


def test_the_families_are_found_by_their_files() -> None:
    assert {"gpt2", "llama", "qwen3"} <= set(families())
    assert all(name == family.model_type for name, family in families().items())


def test_an_unknown_model_type_is_refused_with_those_known() -> None:
    for refused in ("rwkv", None, ["llama"]):
        with pytest.raises(CheckpointError, match=r"not known here; known are .*gpt2, gpt_neo, .*llama"):
            config_from_huggingface({"model_type": refused})
        with pytest.raises(CheckpointError, match="known are"):
            family_of(refused)


@pytest.mark.parametrize(
    "base",
    [
        {"rope_theta": 5000.0},
        {"rope_theta": 5000},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}},
        {"rope_parameters": {"rope_theta": 5000.0}},
        {"rope_theta": 5000.0, "rope_scaling": None},
        {"rope_theta": 5000.0, "rope_scaling": {"type": "default"}},
        {"rope_theta": 5000.0, "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}},
    ],
)
def test_old_and_new_spellings_of_the_rotary_base_are_read(base: dict) -> None:
    assert config_from_huggingface(LLAMA | base).rope_theta == 5000.0


def test_the_new_spelling_is_written() -> None:
    config = config_from_huggingface(LLAMA | {"rope_theta": 5000.0})
    written = families()["llama"].write(config)
    assert written["rope_parameters"] == {"rope_type": "default", "rope_theta": 5000.0}
    assert "rope_theta" not in written


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        (LLAMA | {"rope_scaling": {"type": "longrope", "factor": 8.0}}, "rope_scaling is .*longrope.*known"),
        (LLAMA | {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "'yarn' needs a factor"),
        (LLAMA | {"rope_scaling": {"type": "linear", "factor": 2.0, "beta": 1}}, "beta is not known for"),
        (LLAMA | {"rope_scaling": {"type": "linear", "rope_type": "yarn"}}, "rope_scaling is"),
        (
            NEOX | {"rotary_pct": 0.5, "rope_parameters": {"partial_rotary_factor": 1.0}},
            "share is given twice",
        ),
        (NEO | {"attention_layers": ["global", "global"]}, "attention_types is .*not understood"),
        (NEO | {"attention_types": [[["sparse"], 2]]}, "attention_types is .*sparse"),
        (BLOOM | {"n_layer": 3}, "layers is given twice and differs"),
        (BLOOM | {"apply_residual_connection_post_layernorm": True}, "'apply_residual_connection_post"),
        (GEMMA | {"attn_logit_softcapping": 50.0}, "'attn_logit_softcapping' = 50.0 .*only None is"),
        (GEMMA | {"use_bidirectional_attention": True}, "'use_bidirectional_attention' = True"),
        (
            GEMMA | {"rope_parameters": {"sliding_attention": {"type": "linear", "factor": 2.0}}},
            "windowed layers",
        ),
        (GEMMA | {"rope_parameters": {"rope_type": "default"}}, "rope_parameters has .*rope_type"),
        (PHI | {"qk_layernorm": True}, "'qk_layernorm' = True"),
        (LLAMA | {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "partial_rotary"),
        (LLAMA | {"rope_theta": 1.0, "rope_parameters": {"rope_theta": 2.0}}, "given twice and differs"),
        (LLAMA | {"pretraining_tp": 2}, "'pretraining_tp' = 2 is not understood .*only 1 is"),
        (LLAMA | {"attn_logit_softcapping": 50.0}, "'attn_logit_softcapping' = 50.0 is not understood"),
        (LLAMA | {"quantization_config": {"bits": 4}}, "'quantization_config'"),
        (LLAMA | {"sliding_window": 512}, "'sliding_window' = 512"),
        (LLAMA | {"hidden_act": "mish"}, "hidden_act is 'mish'"),
        (LLAMA | {"num_key_value_heads": 3}, "heads 4 is no multiple of kv_heads 3"),
        (LLAMA | {"hidden_size": "wide"}, "hold together.*width"),
        (LLAMA | {"num_hidden_layers": 10**8}, "at most 10,000 are believed"),
        (LLAMA | {"rope_theta": "abc"}, "does not hold together"),
        (LLAMA | {"rms_norm_eps": 10**400}, "does not hold together"),
        (LLAMA | {"rope_scaling": "linear"}, "does not hold together"),
        ({key: value for key, value in LLAMA.items() if key != "hidden_size"}, "width"),
        (
            QWEN3 | {"layer_types": ["full_attention", "linear_attention"]},
            "layer_types has .*linear_attention",
        ),
        (QWEN3 | {"layer_types": ["full_attention", "sliding_attention"]}, "switched off"),
        (QWEN3 | {"mlp_bias": True}, "'mlp_bias' = True is not understood"),
        ({"model_type": "gpt2", "scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ({"model_type": "gpt2", "scale_attn_weights": False}, "scale_attn_weights"),
        ({"model_type": "shizuku-decoder", **OURS, "moe": 8}, "unknown setting moe"),
    ],
)
def test_mechanisms_that_are_missing_here_are_refused_by_name(foreign: dict, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        config_from_huggingface(foreign)


def test_defaults_of_absent_and_null_keys_are_the_familys() -> None:
    config = config_from_huggingface(LLAMA | {"num_key_value_heads": None, "head_dim": None})
    assert (config.kv_heads, config.head_width, config.norm_eps) == (4, 8, 1e-6)
    assert not config.tie_embeddings
    assert config_from_huggingface({"model_type": "gpt2", "n_inner": None}).ffn_width == 3072
    assert config_from_huggingface({"model_type": "gpt2"}).tie_embeddings


def test_windows_come_from_layer_types_or_from_the_first_windowed_layer() -> None:
    windowed = QWEN3 | {"use_sliding_window": True, "sliding_window": 5}
    assert config_from_huggingface(windowed | {"max_window_layers": 1}).windows == (None, 5)
    kinds = ["sliding_attention", "full_attention"]
    assert config_from_huggingface(windowed | {"layer_types": kinds}).windows == (5, None)
    assert config_from_huggingface(QWEN3 | {"sliding_window": 5}).windows == (None, None)
    assert config_from_huggingface(windowed).sliding_window is None


def test_settings_in_old_spellings_are_read() -> None:
    neox = config_from_huggingface(
        NEOX | {"rotary_pct": 0.5, "rotary_emb_base": 500, "classifier_dropout": 0.1}
    )
    assert (neox.rotary_share, neox.rope_theta, neox.parallel_residual) == (0.5, 500.0, True)
    assert config_from_huggingface(PHI).rotary_share == 0.5
    gemma = config_from_huggingface(
        GEMMA | {"num_hidden_layers": 4, "sliding_window": 8, "sliding_window_pattern": 2, "rope_theta": 5e5}
        | {"rope_local_base_freq": 2e4, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    )  # fmt: skip
    assert gemma.windows == (8, None, 8, None)
    assert (gemma.rope_theta, gemma.rope_local_theta, gemma.rope_scaling.factor) == (5e5, 2e4, 8.0)
    assert (gemma.attention_scale, gemma.embedding_multiplier) == (None, 32**0.5)
    bloom = config_from_huggingface(BLOOM)
    assert (bloom.width, bloom.layers, bloom.context, bloom.ffn_width) == (32, 2, 2048, 128)
    assert config_from_huggingface(NEO | {"window_size": 5}).windows == (None, 5)
    mistral = LLAMA | {"model_type": "mistral", "num_key_value_heads": 2}
    assert config_from_huggingface(mistral).windows == (4096, 4096)
    assert config_from_huggingface(mistral | {"sliding_window": None}).windows == (None, None)


def test_magnitudes_of_yarn_become_its_temperature() -> None:
    yarn = {"type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4}
    scaling = config_from_huggingface(
        LLAMA | {"rope_scaling": yarn | {"mscale": 1.0, "mscale_all_dim": 0.5}}
    ).rope_scaling
    assert scaling.temperature == (0.1 * math.log(40) + 1) / (0.05 * math.log(40) + 1)
    assert config_from_huggingface(LLAMA | {"rope_scaling": yarn}).rope_scaling.temperature == 0


@pytest.mark.parametrize(
    ("changes", "model_type"),
    [
        ({}, "llama"),
        ({"kv_heads": 2, "head_width": 10, "attention_bias": True, "attention_output_bias": True}, "llama"),
        ({"qk_norm": True}, "qwen3"),
        ({"qk_norm": True, "sliding_window": 4, "sliding_layers": (True, False)}, "qwen3"),
        ({"width": 30, "head_width": 10}, "mistral"),
        ({"width": 30, "head_width": 10, "mlp_bias": True}, None),
        ({"width": 30, "head_width": 10, "qk_norm": True}, "qwen3"),
        ({"sliding_window": 4}, "mistral"),
        ({"sliding_window": 4, "sliding_layers": (True, False)}, None),
        ({"attention_bias": True}, "qwen2"),
        ({"attention_scale": 0.3}, "granite"),
        ({"attention_scale": 8**-0.5}, "llama"),
        ({"norm_placement": "after", "qk_norm": True, "qk_norm_joint": True}, "olmo2"),
        ({"norm_placement": "after"}, None),
        ({"rope_scaling": RotaryScaling(kind="linear", factor=2.0)}, "llama"),
        ({"rope_scaling": RotaryScaling(kind="dynamic", factor=2.0, original_context=16)}, "llama"),
        ({"rope_scaling": RotaryScaling(kind="dynamic", factor=2.0, original_context=8)}, None),
        ({"positions": "alibi"}, None),
        ({"activation": "relu2"}, "llama"),
        ({"gated": False}, None),
        ({**LAYERNORM, "mlp_bias": True}, "gpt_neox"),
        (LAYERNORM, None),
        ({"positions": "none"}, None),
        ({"qk_norm": True, "mlp_bias": True}, None),
    ],
)
def test_a_config_is_written_for_the_family_that_can_express_it(
    changes: dict, model_type: str | None
) -> None:
    config = DecoderConfig(**(OURS | changes))
    family = huggingface_family(config)
    assert (family and family.model_type) == model_type
    keys, _ = to_huggingface(config, Decoder(config).state_dict())
    assert keys["model_type"] == (model_type or "shizuku-decoder")
    assert config_from_huggingface(keys) == config


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_have_their_published_size(name: str) -> None:
    size, foreign = PUBLISHED[name]
    config = config_from_huggingface(foreign)
    assert sum(math.prod(shape) for shape in expected_shapes(config).values()) == size
    family = huggingface_family(config)
    assert family is not None and family.model_type == foreign["model_type"]
