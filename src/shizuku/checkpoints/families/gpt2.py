"""GPT-2: layer norms, learned positions, biases everywhere, matrices stored as [inputs, outputs]."""

from shizuku.checkpoints.families import Family
from shizuku.checkpoints.translations import activation, four_times, renamed
from shizuku.checkpoints.weights import weight

_QKV = ("blocks.{n}.attention.query", "blocks.{n}.attention.key", "blocks.{n}.attention.value")

FAMILY = Family(
    model_type="gpt2",
    architecture="GPT2LMHeadModel",
    fixed={
        "norm": "layernorm",
        "norm_bias": True,
        "positions": "learned",
        "gated": False,
        "attention_bias": True,
        "attention_output_bias": True,
        "mlp_bias": True,
    },
    translations=(
        *renamed(vocab_size="vocab_size", context="n_positions", width="n_embd"),
        *renamed(layers="n_layer", heads="n_head"),
        *renamed(norm_eps="layer_norm_epsilon", tie_embeddings="tie_word_embeddings"),
        activation("activation_function"),
        four_times("n_inner", width="n_embd"),
    ),
    defaults={
        "vocab_size": 50_257,
        "n_positions": 1024,
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
    },
    neutral=frozenset(
        {
            "n_ctx",
            "reorder_and_upcast_attn",
            "summary_type",
            "summary_use_proj",
            "summary_activation",
            "summary_proj_to_labels",
            "summary_first_dropout",
        }
    ),
    prefix="transformer.",
    weights=(
        *weight("wte", "embedding"),
        *weight("wpe", "position_embedding"),
        *weight("h.{n}.ln_1", "blocks.{n}.attention_norm"),
        *weight("h.{n}.attn.c_attn", *_QKV, transposed=True),
        *weight("h.{n}.attn.c_proj", "blocks.{n}.attention.output", transposed=True),
        *weight("h.{n}.ln_2", "blocks.{n}.feedforward_norm"),
        *weight("h.{n}.mlp.c_fc", "blocks.{n}.feedforward.up", transposed=True),
        *weight("h.{n}.mlp.c_proj", "blocks.{n}.feedforward.down", transposed=True),
        *weight("ln_f", "final_norm"),
        *weight("lm_head", "unembedding"),
    ),
    ignored=r"h\.\d+\.attn\.(bias|masked_bias)",
    gguf_architecture="gpt2",
    gguf_fixed={"activation": "gelu_tanh"},
    gguf_fused=True,
)
