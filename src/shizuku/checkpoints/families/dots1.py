"""dots.llm1: Qwen3's shape with experts that a bias keeps in balance, and some that all tokens share."""

from dataclasses import replace
from typing import Any

from shizuku.checkpoints.expert_tensors import expert_weights
from shizuku.checkpoints.families.qwen3 import FAMILY as QWEN3
from shizuku.checkpoints.translations import Foreign, Translation, kinds_of, renamed, windowed
from shizuku.checkpoints.weights import Weight, weight
from shizuku.errors import CheckpointError
from shizuku.models.decoder_config import DecoderConfig

EXPERTS = ("mlp", "gate_proj", "up_proj", "down_proj")


def _read_window(foreign: Foreign) -> dict[str, Any]:
    layers, window = range(foreign["num_hidden_layers"]), foreign["sliding_window"]
    first, kinds = foreign["max_window_layers"], foreign.get("layer_types")
    chosen = tuple(window is not None and layer >= first for layer in layers)
    chosen = chosen if kinds is None else windowed(kinds)
    if any(chosen) and window is None:
        raise CheckpointError("layer_types has sliding_attention, but sliding_window is null")
    return {"sliding_window": window, "sliding_layers": chosen} if any(chosen) else {}


def _write_dense(config: DecoderConfig) -> dict[str, Any]:
    return {"first_k_dense_replace": config.sparse.index(True) if config.experts else 0}


_WINDOW = Translation(
    keys=("sliding_window", "max_window_layers", "layer_types"),
    read=_read_window,
    write=lambda config: {"sliding_window": config.sliding_window, "layer_types": kinds_of(config)},
)
_DENSE = Translation(
    keys=("first_k_dense_replace",),
    read=lambda foreign: {
        "sparse_layers": tuple(
            layer >= foreign["first_k_dense_replace"] for layer in range(foreign["num_hidden_layers"])
        )
    },
    write=_write_dense,
)

FAMILY = replace(
    QWEN3,
    model_type="dots1",
    architecture="Dots1ForCausalLM",
    fixed={**QWEN3.fixed, "router_score": "sigmoid", "router_bias": True},
    translations=(
        *(one for one in QWEN3.translations if "use_sliding_window" not in one.keys),
        *renamed(experts="n_routed_experts", experts_per_token="num_experts_per_tok"),
        *renamed(expert_width="moe_intermediate_size", normalise_experts="norm_topk_prob"),
        *renamed(shared_experts="n_shared_experts", expert_multiplier="routed_scaling_factor"),
        _DENSE,
        _WINDOW,
    ),
    defaults={
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "attention_bias": False,
        "tie_word_embeddings": False,
        "sliding_window": 4096,
        "max_window_layers": 62,
        "num_key_value_heads": 32,
        "moe_intermediate_size": 1408,
        "first_k_dense_replace": 0,
        "norm_topk_prob": False,
        "routed_scaling_factor": 1.0,
        "n_group": 1,
        "topk_group": 1,
    },
    neutral=frozenset({"output_router_logits"}),
    weights=(
        *QWEN3.weights,
        *expert_weights(*EXPERTS),
        Weight(
            theirs="layers.{n}.mlp.gate.e_score_correction_bias",
            ours=("blocks.{n}.feedforward.router.choice_bias",),
        ),
        *weight("layers.{n}.mlp.shared_experts.gate_proj", "blocks.{n}.feedforward.shared.gate"),
        *weight("layers.{n}.mlp.shared_experts.up_proj", "blocks.{n}.feedforward.shared.up"),
        *weight("layers.{n}.mlp.shared_experts.down_proj", "blocks.{n}.feedforward.shared.down"),
    ),
    experts=EXPERTS,
    accepts=lambda config: config.shared_experts > 0 and config.width % config.heads == 0,
    gguf_architecture=None,
)
