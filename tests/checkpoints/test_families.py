"""Foreign configs: translated both ways, in old and new spellings, or refused by the name of the key."""

import pytest

from shizuku.checkpoints.families import families, family_of
from shizuku.checkpoints.huggingface import config_from_huggingface, huggingface_family, to_huggingface
from shizuku.errors import CheckpointError
from shizuku.models.decoder import Decoder, DecoderConfig

LLAMA = {
    "model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 16,
}  # fmt: skip
QWEN3 = {**LLAMA, "model_type": "qwen3", "head_dim": 16}
OURS = {"vocab_size": 64, "context": 16, "width": 32, "layers": 2, "heads": 4, "ffn_width": 48}


def test_the_families_are_found_by_their_files() -> None:
    assert {"gpt2", "llama", "qwen3"} <= set(families())
    assert all(name == family.model_type for name, family in families().items())


def test_an_unknown_model_type_is_refused_with_those_known() -> None:
    for refused in ("rwkv", None, ["llama"]):
        with pytest.raises(CheckpointError, match=r"not known here; known are .*gpt2, llama"):
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
        (LLAMA | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling is .*llama3"),
        (LLAMA | {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_parameters is .*yarn"),
        (LLAMA | {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "partial_rotary"),
        (LLAMA | {"rope_theta": 1.0, "rope_parameters": {"rope_theta": 2.0}}, "given twice and differs"),
        (LLAMA | {"pretraining_tp": 2}, "'pretraining_tp' = 2 is not understood .*only 1 is"),
        (LLAMA | {"attn_logit_softcapping": 50.0}, "'attn_logit_softcapping' = 50.0 is not understood"),
        (LLAMA | {"quantization_config": {"bits": 4}}, "'quantization_config'"),
        (LLAMA | {"sliding_window": 512}, "'sliding_window' = 512"),
        (LLAMA | {"hidden_act": "mish"}, "hidden_act is 'mish'"),
        (LLAMA | {"num_key_value_heads": 3}, "heads 4 is no multiple of kv_heads 3"),
        (LLAMA | {"hidden_size": "wide"}, "hold together.*width"),
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


@pytest.mark.parametrize(
    ("changes", "model_type"),
    [
        ({}, "llama"),
        ({"kv_heads": 2, "head_width": 10, "attention_bias": True, "attention_output_bias": True}, "llama"),
        ({"qk_norm": True}, "qwen3"),
        ({"qk_norm": True, "sliding_window": 4, "sliding_layers": (True, False)}, "qwen3"),
        ({"width": 30, "head_width": 10}, None),
        ({"width": 30, "head_width": 10, "qk_norm": True}, "qwen3"),
        ({"sliding_window": 4}, None),
        ({"attention_bias": True}, None),
        ({"activation": "relu2"}, "llama"),
        ({"gated": False}, None),
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
