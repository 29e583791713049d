"""Qwen3 with experts: in every layer, or in some, beside dense layers of their own width."""

from dataclasses import replace
from typing import Any

from shizuku.checkpoints.expert_tensors import expert_weights, number_of_experts
from shizuku.checkpoints.families.qwen3 import FAMILY as QWEN3
from shizuku.checkpoints.translations import Foreign, Translation, renamed

EXPERTS = ("mlp", "gate_proj", "up_proj", "down_proj")


def _read_sparse(foreign: Foreign) -> dict[str, Any]:
    dense, every = set(foreign["mlp_only_layers"] or ()), foreign["decoder_sparse_step"]
    layers = range(foreign["num_hidden_layers"])
    return {"sparse_layers": tuple(layer not in dense and (layer + 1) % every == 0 for layer in layers)}


_SPARSE = Translation(
    keys=("mlp_only_layers", "decoder_sparse_step"),
    read=_read_sparse,
    write=lambda config: {
        "mlp_only_layers": [layer for layer, sparse in enumerate(config.sparse) if not sparse],
        "decoder_sparse_step": 1,
    },
)
_WINDOW = Translation(
    keys=("use_sliding_window", "sliding_window"),
    read=lambda foreign: {
        "sliding_window": foreign["sliding_window"] if foreign["use_sliding_window"] else None
    },
    write=lambda config: {
        "use_sliding_window": config.sliding_window is not None, "sliding_window": config.sliding_window
    },
)  # fmt: skip

FAMILY = replace(
    QWEN3,
    model_type="qwen3_moe",
    architecture="Qwen3MoeForCausalLM",
    translations=(
        *(one for one in QWEN3.translations if "use_sliding_window" not in one.keys),
        number_of_experts("num_experts", "num_local_experts", default=128),
        *renamed(experts_per_token="num_experts_per_tok"),
        *renamed(expert_width="moe_intermediate_size", normalise_experts="norm_topk_prob"),
        *renamed(balance_coefficient="router_aux_loss_coef"),
        _SPARSE,
        _WINDOW,
    ),
    defaults={
        **{key: value for key, value in QWEN3.defaults.items() if key != "head_dim"},
        "num_key_value_heads": 4,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 768,
        "norm_topk_prob": False,
        "router_aux_loss_coef": 0.001,
        "decoder_sparse_step": 1,
        "mlp_only_layers": None,
    },
    # max_window_layers is in the published files, and transformers does not look at it here.
    neutral=frozenset({"output_router_logits", "max_window_layers"}),
    weights=(*QWEN3.weights, *expert_weights(*EXPERTS)),
    experts=EXPERTS,
    accepts=lambda config: config.experts > 0,
    gguf_architecture=None,
)
