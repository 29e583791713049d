"""Gemma 3 (text): sandwich norms with offset, scaled embeddings, windows with rotary bases of their own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shizuku.checkpoints.families.llama import FAMILY as LLAMA
from shizuku.checkpoints.rotary_settings import rotary_by_layer
from shizuku.checkpoints.translations import (
    SIZES,
    activation,
    attention_scale,
    derived,
    gguf_windows,
    layer_types,
    renamed,
    same,
)  # fmt: skip
from shizuku.checkpoints.weights import weight

_NORMED = "layers.{n}.post_attention_layernorm"

_LAYERS_OF_27B = 62


def _scale(file: Mapping[str, Any]) -> float | None:
    """The 27B model scales by the stream's share of a head; only its number of layers tells it in a file."""
    wide = file["block_count"] == _LAYERS_OF_27B
    return (file["embedding_length"] / file["attention.head_count"]) ** -0.5 if wide else None


FAMILY = replace(
    LLAMA,
    model_type="gemma3_text",
    architecture="Gemma3ForCausalLM",
    headed="Gemma3TextForSequenceClassification",
    fixed={**LLAMA.fixed, "norm_offset": True, "norm_placement": "both", "qk_norm": True},
    translations=(
        *SIZES,
        *renamed(kv_heads="num_key_value_heads", head_width="head_dim", norm_eps="rms_norm_eps"),
        *renamed(logit_cap="final_logit_softcapping"),
        same("attention_bias", "attention_bias", "attention_output_bias"),
        attention_scale("query_pre_attn_scalar", inverse_root=True),
        activation("hidden_activation"),
        derived(embedding_multiplier=lambda foreign: foreign["hidden_size"] ** 0.5),
        layer_types(every=6),
        rotary_by_layer(theta=1_000_000.0, local_theta=10_000.0),
    ),
    defaults={
        "max_position_embeddings": 131_072, "head_dim": 256, "num_key_value_heads": 4, "rms_norm_eps": 1e-6,
        "hidden_activation": "gelu_pytorch_tanh", "attention_bias": False, "tie_word_embeddings": True,
        "query_pre_attn_scalar": 256, "sliding_window": 4096, "attn_logit_softcapping": None,
        "use_bidirectional_attention": False,
    },
    neutral=frozenset({"cache_implementation"}),
    weights=(
        *(one for one in LLAMA.weights if one.theirs.rpartition(".")[0] != _NORMED),
        *weight(_NORMED, "blocks.{n}.attention_output_norm"),
        *weight("layers.{n}.pre_feedforward_layernorm", "blocks.{n}.feedforward_norm"),
        *weight("layers.{n}.post_feedforward_layernorm", "blocks.{n}.feedforward_output_norm"),
        *weight("layers.{n}.self_attn.q_norm", "blocks.{n}.attention.query_norm"),
        *weight("layers.{n}.self_attn.k_norm", "blocks.{n}.attention.key_norm"),
    ),
    gguf_architecture="gemma3",
    gguf_fixed={"activation": "gelu_tanh", "attention_output_bias": False},
    gguf_settings=(
        *renamed(logit_cap="final_logit_softcapping"),
        derived(embedding_multiplier=lambda file: file["embedding_length"] ** 0.5, attention_scale=_scale),
        gguf_windows(every=6, local_theta=10_000.0),
    ),
    gguf_permuted=False,
)  # fmt: skip
