"""BLOOM: layer norms, one of them over the embeddings, and ALiBi for positions."""

from shizuku.checkpoints.families import Family
from shizuku.checkpoints.translations import derived, renamed
from shizuku.checkpoints.weights import weight

_QKV = ("blocks.{n}.attention.query", "blocks.{n}.attention.key", "blocks.{n}.attention.value")
_NEUTRAL = """
pretraining_tp offset_alibi unk_token_id attention_softmax_in_fp32 bias_dropout_fusion masked_softmax_fusion
"""

FAMILY = Family(
    model_type="bloom",
    architecture="BloomForCausalLM",
    fixed={
        "norm": "layernorm", "norm_bias": True, "positions": "alibi", "embedding_norm": True, "gated": False,
        "activation": "gelu_tanh", "attention_bias": True, "attention_output_bias": True, "mlp_bias": True,
    },
    translations=(
        *renamed(vocab_size="vocab_size", context="seq_length", width="hidden_size|n_embed"),
        *renamed(layers="n_layer|num_hidden_layers", heads="n_head|num_attention_heads"),
        *renamed(norm_eps="layer_norm_epsilon", tie_embeddings="tie_word_embeddings"),
        derived(ffn_width=lambda foreign: 4 * (foreign.get("hidden_size") or foreign["n_embed"])),
    ),
    defaults={
        "seq_length": 2048, "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True,
        "apply_residual_connection_post_layernorm": False, "slow_but_exact": False,
        "skip_bias_add": True, "skip_bias_add_qkv": False, "n_inner": None,
    },
    neutral=frozenset(_NEUTRAL.split()),
    prefix="transformer.",
    weights=(
        *weight("word_embeddings", "embedding"),
        *weight("word_embeddings_layernorm", "embedding_norm"),
        *weight("h.{n}.input_layernorm", "blocks.{n}.attention_norm"),
        *weight("h.{n}.self_attention.query_key_value", *_QKV, by_head=True),
        *weight("h.{n}.self_attention.dense", "blocks.{n}.attention.output"),
        *weight("h.{n}.post_attention_layernorm", "blocks.{n}.feedforward_norm"),
        *weight("h.{n}.mlp.dense_h_to_4h", "blocks.{n}.feedforward.up"),
        *weight("h.{n}.mlp.dense_4h_to_h", "blocks.{n}.feedforward.down"),
        *weight("ln_f", "final_norm"),
        *weight("lm_head", "unembedding"),
    ),
    gguf_architecture="bloom",
    gguf_fused=True,
)  # fmt: skip
