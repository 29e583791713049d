"""Phi-1, 1.5 and 2: one layer norm for attention and feed-forward side by side, partial rotary positions."""

from shizuku.checkpoints.families import Family
from shizuku.checkpoints.rotary_settings import rotary
from shizuku.checkpoints.translations import SIZES, activation, renamed
from shizuku.checkpoints.weights import weight

FAMILY = Family(
    model_type="phi",
    architecture="PhiForCausalLM",
    fixed={
        "norm": "layernorm", "norm_bias": True, "parallel_residual": True, "shared_norm": True,
        "gated": False, "attention_bias": True, "attention_output_bias": True, "mlp_bias": True,
        "unembedding_bias": True,
    },
    translations=(
        *SIZES,
        *renamed(norm_eps="layer_norm_eps", kv_heads="num_key_value_heads"),
        activation("hidden_act"),
        rotary(share="partial_rotary_factor", default_share=0.5),
    ),
    defaults={
        "max_position_embeddings": 2048, "layer_norm_eps": 1e-5, "hidden_act": "gelu_new",
        "tie_word_embeddings": False, "qk_layernorm": False,
    },
    prefix="model.",
    weights=(
        *weight("embed_tokens", "embedding"),
        *weight("layers.{n}.input_layernorm", "blocks.{n}.attention_norm"),
        *weight("layers.{n}.self_attn.q_proj", "blocks.{n}.attention.query"),
        *weight("layers.{n}.self_attn.k_proj", "blocks.{n}.attention.key"),
        *weight("layers.{n}.self_attn.v_proj", "blocks.{n}.attention.value"),
        *weight("layers.{n}.self_attn.dense", "blocks.{n}.attention.output"),
        *weight("layers.{n}.mlp.fc1", "blocks.{n}.feedforward.up"),
        *weight("layers.{n}.mlp.fc2", "blocks.{n}.feedforward.down"),
        *weight("final_layernorm", "final_norm"),
        *weight("lm_head", "unembedding"),
    ),
    gguf_architecture="phi2",
    gguf_fixed={"activation": "gelu_tanh"},
)  # fmt: skip
