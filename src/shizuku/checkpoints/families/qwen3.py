"""Qwen3 (dense): Llama's shape with query and key norms, a free head width and optional windows."""

from dataclasses import replace

from shizuku.checkpoints.families.llama import FAMILY as LLAMA
from shizuku.checkpoints.translations import window_pattern
from shizuku.checkpoints.weights import weight

FAMILY = replace(
    LLAMA,
    model_type="qwen3",
    architecture="Qwen3ForCausalLM",
    fixed={**LLAMA.fixed, "qk_norm": True},
    translations=(
        *(translation for translation in LLAMA.translations if translation.keys != ("mlp_bias",)),
        window_pattern(max_window_layers=28),
    ),
    defaults={
        "max_position_embeddings": 32_768,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "head_dim": 128,
        "attention_bias": False,
        "tie_word_embeddings": False,
        "use_sliding_window": False,
        "sliding_window": 4096,
    },
    neutral=frozenset(),
    weights=(
        *LLAMA.weights,
        *weight("layers.{n}.self_attn.q_norm", "blocks.{n}.attention.query_norm"),
        *weight("layers.{n}.self_attn.k_norm", "blocks.{n}.attention.key_norm"),
    ),
    accepts=lambda config: True,
    gguf_architecture="qwen3",
    gguf_fixed={**LLAMA.gguf_fixed, "attention_output_bias": False},
    gguf_permuted=False,
)
