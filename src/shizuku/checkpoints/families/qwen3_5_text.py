"""Qwen3.5's language models, those whose blocks all have a gated delta network and none attention."""

from collections.abc import Mapping
from typing import Any

from shizuku.checkpoints.families import Family
from shizuku.checkpoints.translations import Translation, activation, renamed
from shizuku.checkpoints.weights import Weight, weight
from shizuku.errors import CheckpointError

_LINEAR = "linear_attention"


def _read(foreign: Mapping[str, Any]) -> dict[str, Any]:
    layers, every = foreign["num_hidden_layers"], foreign["full_attention_interval"]
    kinds = foreign.get("layer_types")
    if kinds is None:
        kinds = [_LINEAR if (layer + 1) % every else "full_attention" for layer in range(layers)]
    if len(kinds) != layers or set(kinds) != {_LINEAR}:
        raise CheckpointError(
            f"layer_types is {kinds}: here all {layers} layers have to be {_LINEAR}, since nothing in this "
            "package mixes blocks with attention and blocks without"
        )
    return {}


_BLOCK = "layers.{n}."
_MIXER, _OURS = "layers.{n}.linear_attn.", "blocks.{n}.mixer."

FAMILY = Family(
    model_type="qwen3_5_text",
    architecture="Qwen3_5ForCausalLM",
    ours="recurrent",
    fixed={},
    translations=(
        *renamed(
            vocab_size="vocab_size", context="max_position_embeddings", width="hidden_size",
            layers="num_hidden_layers", ffn_width="intermediate_size", tie_embeddings="tie_word_embeddings",
            heads="linear_num_value_heads", key_heads="linear_num_key_heads",
            key_width="linear_key_head_dim", value_width="linear_value_head_dim",
            taps="linear_conv_kernel_dim", norm_eps="rms_norm_eps",
        ),
        activation("hidden_act"),
        Translation(
            keys=("layer_types", "full_attention_interval"),
            read=_read,
            # Without attention transformers' own cache, which asks it how long the text is, raises.
            write=lambda config: {"layer_types": [_LINEAR] * config.layers, "use_cache": False},
        ),
    ),
    defaults={
        "vocab_size": 248_320,
        "hidden_size": 4096,
        "intermediate_size": 12_288,
        "num_hidden_layers": 32,
        "max_position_embeddings": 32_768,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "full_attention_interval": 4,
    },
    neutral=frozenset(
        # What only blocks with attention read.
        {"num_attention_heads", "num_key_value_heads", "head_dim", "attention_bias", "rope_parameters",
         "rope_theta", "rope_scaling", "partial_rotary_factor"}
    ),
    prefix="model.",
    weights=(
        *weight("embed_tokens", "embedding"),
        *weight(f"{_BLOCK}input_layernorm", "blocks.{n}.mixer_norm"),
        *weight(f"{_MIXER}in_proj_qkv", f"{_OURS}query", f"{_OURS}key", f"{_OURS}value"),
        *weight(f"{_MIXER}in_proj_z", f"{_OURS}gate"),
        *weight(f"{_MIXER}in_proj_b", f"{_OURS}share"),
        *weight(f"{_MIXER}in_proj_a", f"{_OURS}time"),
        *weight(f"{_MIXER}conv1d", f"{_OURS}convolution"),
        Weight(theirs=f"{_MIXER}dt_bias", ours=(f"{_OURS}time_bias",)),
        Weight(theirs=f"{_MIXER}A_log", ours=(f"{_OURS}log_rate",)),
        *weight(f"{_MIXER}norm", f"{_OURS}norm"),
        *weight(f"{_MIXER}out_proj", f"{_OURS}output"),
        *weight(f"{_BLOCK}post_attention_layernorm", "blocks.{n}.feedforward_norm"),
        *weight(f"{_BLOCK}mlp.gate_proj", "blocks.{n}.feedforward.gate"),
        *weight(f"{_BLOCK}mlp.up_proj", "blocks.{n}.feedforward.up"),
        *weight(f"{_BLOCK}mlp.down_proj", "blocks.{n}.feedforward.down"),
        *weight("norm", "final_norm"),
        *weight("lm_head", "unembedding"),
    ),
)  # fmt: skip
