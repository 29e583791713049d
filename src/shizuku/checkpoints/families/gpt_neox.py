"""GPT-NeoX and Pythia: layer norms, partial rotary positions, attention and feed-forward side by side."""

from shizuku.checkpoints.families import Family
from shizuku.checkpoints.rotary_settings import rotary
from shizuku.checkpoints.translations import SIZES, activation, renamed, same
from shizuku.checkpoints.weights import weight

_QKV = ("blocks.{n}.attention.query", "blocks.{n}.attention.key", "blocks.{n}.attention.value")

FAMILY = Family(
    model_type="gpt_neox",
    architecture="GPTNeoXForCausalLM",
    fixed={"norm": "layernorm", "norm_bias": True, "gated": False, "mlp_bias": True},
    translations=(
        *SIZES,
        *renamed(norm_eps="layer_norm_eps", parallel_residual="use_parallel_residual"),
        same("attention_bias", "attention_bias", "attention_output_bias"),
        activation("hidden_act"),
        rotary(base="rotary_emb_base", share="rotary_pct", default_share=0.25),
    ),
    defaults={
        "max_position_embeddings": 2048, "layer_norm_eps": 1e-5, "use_parallel_residual": True,
        "hidden_act": "gelu", "attention_bias": True, "tie_word_embeddings": False, "is_decoder": False,
    },
    neutral=frozenset({"attention_probs_dropout_prob", "hidden_dropout_prob"}),
    prefix="gpt_neox.",
    output="embed_out",
    weights=(
        *weight("embed_in", "embedding"),
        *weight("layers.{n}.input_layernorm", "blocks.{n}.attention_norm"),
        *weight("layers.{n}.attention.query_key_value", *_QKV, by_head=True),
        *weight("layers.{n}.attention.dense", "blocks.{n}.attention.output"),
        *weight("layers.{n}.post_attention_layernorm", "blocks.{n}.feedforward_norm"),
        *weight("layers.{n}.mlp.dense_h_to_4h", "blocks.{n}.feedforward.up"),
        *weight("layers.{n}.mlp.dense_4h_to_h", "blocks.{n}.feedforward.down"),
        *weight("final_layer_norm", "final_norm"),
        *weight("embed_out", "unembedding"),
    ),
    ignored=r"layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)",
    gguf_architecture="gptneox",
    gguf_fixed={
        "activation": "gelu", "tie_embeddings": False, "attention_bias": True, "attention_output_bias": True,
    },
    gguf_settings=renamed(parallel_residual="use_parallel_residual"),
    gguf_fused=True,
)  # fmt: skip
