"""OLMoE: Llama's shape with norms over all queries and keys, and many small experts in every layer."""

from dataclasses import replace

from shizuku.checkpoints.expert_tensors import expert_weights, number_of_experts
from shizuku.checkpoints.families.llama import FAMILY as LLAMA
from shizuku.checkpoints.translations import renamed
from shizuku.checkpoints.weights import weight

_EXPERTS = ("mlp", "gate_proj", "up_proj", "down_proj")
_OTHERS = {("mlp_bias",), ("head_dim",)}

FAMILY = replace(
    LLAMA,
    model_type="olmoe",
    architecture="OlmoeForCausalLM",
    fixed={**LLAMA.fixed, "qk_norm": True, "qk_norm_joint": True},
    translations=(
        *(one for one in LLAMA.translations if one.keys not in _OTHERS),
        number_of_experts("num_experts", "num_local_experts", default=64),
        *renamed(experts_per_token="num_experts_per_tok"),
        *renamed(balance_coefficient="router_aux_loss_coef", normalise_experts="norm_topk_prob"),
    ),
    defaults={
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "attention_bias": False,
        "tie_word_embeddings": False,
        "clip_qkv": None,
        "num_experts_per_tok": 8,
        "norm_topk_prob": False,
        "router_aux_loss_coef": 0.01,
    },
    neutral=frozenset({"output_router_logits"}),
    weights=(
        *(one for one in LLAMA.weights if ".mlp." not in one.theirs),
        *weight("layers.{n}.self_attn.q_norm", "blocks.{n}.attention.query_norm"),
        *weight("layers.{n}.self_attn.k_norm", "blocks.{n}.attention.key_norm"),
        *expert_weights(*_EXPERTS),
    ),
    experts=_EXPERTS,
    accepts=lambda config: config.experts > 0 and config.width % config.heads == 0,
    gguf_architecture=None,
)
