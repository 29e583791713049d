"""Mixtral: Mistral's shape with experts in every layer."""

from dataclasses import replace

from shizuku.checkpoints.expert_tensors import expert_weights, number_of_experts
from shizuku.checkpoints.families.mistral import FAMILY as MISTRAL
from shizuku.checkpoints.rotary_settings import rotary
from shizuku.checkpoints.translations import renamed

_EXPERTS = ("block_sparse_moe", "w1", "w3", "w2")

FAMILY = replace(
    MISTRAL,
    model_type="mixtral",
    architecture="MixtralForCausalLM",
    translations=(
        *(one for one in MISTRAL.translations if "rope_parameters" not in one.keys),
        rotary(theta=1e6),
        number_of_experts("num_local_experts", "num_experts", default=8),
        *renamed(experts_per_token="num_experts_per_tok"),
        *renamed(balance_coefficient="router_aux_loss_coef"),
    ),
    defaults={
        **MISTRAL.defaults,
        "rms_norm_eps": 1e-5,
        "sliding_window": None,
        "num_experts_per_tok": 2,
        "router_aux_loss_coef": 0.001,
    },
    # They act in training only.
    neutral=frozenset({"output_router_logits", "router_jitter_noise"}),
    weights=(
        *(one for one in MISTRAL.weights if ".mlp." not in one.theirs),
        *expert_weights(*_EXPERTS),
    ),
    experts=_EXPERTS,
    accepts=lambda config: config.experts > 0,
    gguf_architecture=None,
)
