"""GPT-Neo: GPT-2's shape with windows in every other layer, and attention scores that nothing scales."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from shizuku.checkpoints.families.gpt2 import FAMILY as GPT2
from shizuku.checkpoints.translations import Translation, activation, four_times, renamed
from shizuku.checkpoints.weights import weight
from shizuku.errors import CheckpointError


def _read_windows(foreign: Mapping[str, Any]) -> dict[str, Any]:
    kinds = list(chain.from_iterable(list(pattern) * times for pattern, times in foreign["attention_types"]))
    if set(kinds) - {"global", "local"} or foreign.get("attention_layers", kinds) != kinds:
        raise CheckpointError(f"attention_types is {foreign['attention_types']}, which is not understood")
    local = tuple(kind == "local" for kind in kinds)
    return {"sliding_window": foreign["window_size"], "sliding_layers": local} if any(local) else {}


_WINDOWS = Translation(
    keys=("attention_types", "attention_layers", "window_size"),
    read=_read_windows,
    write=lambda config: {
        "attention_types": [[["global" if w is None else "local"], 1] for w in config.windows],
        "window_size": config.sliding_window or config.context,
    },
)
_SAME_NAMES = ("wte", "wpe", "ln_f", "lm_head", "h.{n}.ln_1", "h.{n}.ln_2")
FAMILY = replace(
    GPT2,
    model_type="gpt_neo",
    architecture="GPTNeoForCausalLM",
    fixed={**GPT2.fixed, "attention_bias": False, "attention_scale": 1.0},
    translations=(
        *renamed(vocab_size="vocab_size", context="max_position_embeddings", width="hidden_size"),
        *renamed(layers="num_layers|num_hidden_layers", heads="num_heads|num_attention_heads"),
        *renamed(norm_eps="layer_norm_epsilon", tie_embeddings="tie_word_embeddings"),
        activation("activation_function"),
        four_times("intermediate_size", width="hidden_size"),
        _WINDOWS,
    ),
    defaults={
        "max_position_embeddings": 2048,
        "attention_types": [[["global", "local"], 12]],
        "window_size": 256,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
        "gradient_checkpointing": False,
    },
    weights=(
        *(one for one in GPT2.weights if one.theirs.rpartition(".")[0] in _SAME_NAMES),
        *weight("h.{n}.attn.attention.q_proj", "blocks.{n}.attention.query"),
        *weight("h.{n}.attn.attention.k_proj", "blocks.{n}.attention.key"),
        *weight("h.{n}.attn.attention.v_proj", "blocks.{n}.attention.value"),
        *weight("h.{n}.attn.attention.out_proj", "blocks.{n}.attention.output"),
        *weight("h.{n}.mlp.c_fc", "blocks.{n}.feedforward.up"),
        *weight("h.{n}.mlp.c_proj", "blocks.{n}.feedforward.down"),
    ),
    ignored=r"h\.\d+\.attn\.attention\.(bias|masked_bias)",
    gguf_architecture=None,
)
