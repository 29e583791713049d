"""OLMo 2: Llama's shape with norms after the layers instead of before, and over all queries and keys."""

from dataclasses import replace

from shizuku.checkpoints.families.llama import FAMILY as LLAMA
from shizuku.checkpoints.weights import weight

_NORMED = {"layers.{n}.input_layernorm", "layers.{n}.post_attention_layernorm"}
_OTHERS = {("mlp_bias",), ("head_dim",)}

FAMILY = replace(
    LLAMA,
    model_type="olmo2",
    architecture="Olmo2ForCausalLM",
    fixed={**LLAMA.fixed, "norm_placement": "after", "qk_norm": True, "qk_norm_joint": True},
    translations=tuple(one for one in LLAMA.translations if one.keys not in _OTHERS),
    defaults={
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "attention_bias": False,
        "tie_word_embeddings": False,
    },
    neutral=frozenset(),
    weights=(
        *(one for one in LLAMA.weights if one.theirs.rpartition(".")[0] not in _NORMED),
        *weight("layers.{n}.post_attention_layernorm", "blocks.{n}.attention_output_norm"),
        *weight("layers.{n}.post_feedforward_layernorm", "blocks.{n}.feedforward_output_norm"),
        *weight("layers.{n}.self_attn.q_norm", "blocks.{n}.attention.query_norm"),
        *weight("layers.{n}.self_attn.k_norm", "blocks.{n}.attention.key_norm"),
    ),
    gguf_architecture="olmo2",
    gguf_fixed={**LLAMA.gguf_fixed, "tie_embeddings": False, "attention_output_bias": False},
    gguf_permuted=False,
)
