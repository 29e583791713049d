"""Granite: Llama's shape with factors on embeddings, attention scores, residuals and logits."""

from dataclasses import replace

from shizuku.checkpoints.families.llama import FAMILY as LLAMA
from shizuku.checkpoints.translations import attention_scale, inverse, renamed

_MULTIPLIERS = renamed(embedding_multiplier="embedding_multiplier", residual_multiplier="residual_multiplier")
_FACTORS = ("embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling")
_MISSING = {"pretraining_tp", "rope_interleaved"}

FAMILY = replace(
    LLAMA,
    model_type="granite",
    architecture="GraniteForCausalLM",
    translations=(
        *(one for one in LLAMA.translations if one.keys != ("head_dim",)),
        *_MULTIPLIERS,
        attention_scale("attention_multiplier"),
        inverse("logits_scaling", "logit_multiplier"),
    ),
    defaults={
        **{key: value for key, value in LLAMA.defaults.items() if key not in _MISSING},
        **dict.fromkeys(_FACTORS, 1.0),
    },
    neutral=frozenset(),
    gguf_architecture="granite",
    gguf_settings=(
        *renamed(embedding_multiplier="embedding_scale", residual_multiplier="residual_scale"),
        attention_scale("attention.scale"),
        inverse("logit_scale", "logit_multiplier"),
    ),
)
