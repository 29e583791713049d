"""Llama, and what shares its architecture: SmolLM2, TinyLlama and others."""

from shizuku.checkpoints.families import Family
from shizuku.checkpoints.rotary_settings import rotary
from shizuku.checkpoints.translations import SIZES, activation, renamed, same
from shizuku.checkpoints.weights import weight

FAMILY = Family(
    model_type="llama",
    architecture="LlamaForCausalLM",
    fixed={"norm": "rmsnorm", "positions": "rotary", "gated": True},
    translations=(
        *SIZES,
        *renamed(kv_heads="num_key_value_heads", head_width="head_dim", norm_eps="rms_norm_eps"),
        *renamed(mlp_bias="mlp_bias"),
        same("attention_bias", "attention_bias", "attention_output_bias"),
        activation("hidden_act"),
        rotary(),
    ),
    defaults={
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "pretraining_tp": 1,
        "rope_interleaved": False,
    },
    neutral=frozenset({"is_llama_config"}),
    prefix="model.",
    weights=(
        *weight("embed_tokens", "embedding"),
        *weight("layers.{n}.input_layernorm", "blocks.{n}.attention_norm"),
        *weight("layers.{n}.self_attn.q_proj", "blocks.{n}.attention.query"),
        *weight("layers.{n}.self_attn.k_proj", "blocks.{n}.attention.key"),
        *weight("layers.{n}.self_attn.v_proj", "blocks.{n}.attention.value"),
        *weight("layers.{n}.self_attn.o_proj", "blocks.{n}.attention.output"),
        *weight("layers.{n}.post_attention_layernorm", "blocks.{n}.feedforward_norm"),
        *weight("layers.{n}.mlp.gate_proj", "blocks.{n}.feedforward.gate"),
        *weight("layers.{n}.mlp.up_proj", "blocks.{n}.feedforward.up"),
        *weight("layers.{n}.mlp.down_proj", "blocks.{n}.feedforward.down"),
        *weight("norm", "final_norm"),
        *weight("lm_head", "unembedding"),
    ),
    ignored=r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq",
    accepts=lambda config: config.width % config.heads == 0,
    gguf_architecture="llama",
    gguf_fixed={"activation": "silu"},
    gguf_permuted=True,
)
