"""Qwen2: Llama's shape with biases on query, key and value alone, and optional windows."""

from dataclasses import replace

from shizuku.checkpoints.families.llama import FAMILY as LLAMA
from shizuku.checkpoints.translations import window_pattern

_OTHERS = {("mlp_bias",), ("attention_bias",), ("head_dim",)}

FAMILY = replace(
    LLAMA,
    model_type="qwen2",
    architecture="Qwen2ForCausalLM",
    fixed={**LLAMA.fixed, "attention_bias": True},
    translations=(
        *(one for one in LLAMA.translations if one.keys not in _OTHERS),
        window_pattern(max_window_layers=28),
    ),
    defaults={
        "max_position_embeddings": 32_768,
        "num_key_value_heads": 32,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "use_sliding_window": False,
        "sliding_window": 4096,
    },
    neutral=frozenset(),
    gguf_architecture="qwen2",
    gguf_permuted=False,
)
