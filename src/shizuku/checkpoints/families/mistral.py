"""Mistral: Llama's shape without biases, with one window for all layers."""

from dataclasses import replace

from shizuku.checkpoints.families.llama import FAMILY as LLAMA
from shizuku.checkpoints.translations import Translation

_WINDOW = Translation(
    keys=("sliding_window",),
    read=lambda foreign: {"sliding_window": foreign["sliding_window"]},
    write=lambda config: {"sliding_window": config.sliding_window},
)
_BIASES = {("mlp_bias",), ("attention_bias",)}

FAMILY = replace(
    LLAMA,
    model_type="mistral",
    architecture="MistralForCausalLM",
    translations=(*(one for one in LLAMA.translations if one.keys not in _BIASES), _WINDOW),
    defaults={
        "max_position_embeddings": 131_072,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "sliding_window": 4096,
    },
    neutral=frozenset(),
    accepts=lambda config: True,
    gguf_architecture=None,
)
