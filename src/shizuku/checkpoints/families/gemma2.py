"""Gemma 2: Gemma 3's shape with soft caps instead of query and key norms, and one rotary base."""

import re
from dataclasses import replace

from shizuku.checkpoints.families.gemma3_text import FAMILY as GEMMA3
from shizuku.checkpoints.rotary_settings import rotary
from shizuku.checkpoints.translations import derived, gguf_windows, layer_types, renamed

_KEPT = [one for one in GEMMA3.translations if not {"rope_parameters", "layer_types"} & set(one.keys)]

FAMILY = replace(
    GEMMA3,
    model_type="gemma2",
    architecture="Gemma2ForCausalLM",
    fixed={**GEMMA3.fixed, "qk_norm": False},
    translations=(
        *_KEPT,
        *renamed(attention_cap="attn_logit_softcapping"),
        layer_types(every=2),
        rotary(),
    ),
    defaults={
        **GEMMA3.defaults,
        "max_position_embeddings": 8192,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "use_bidirectional_attention": None,
    },
    weights=tuple(one for one in GEMMA3.weights if not re.search("[qk]_norm", one.theirs)),
    gguf_architecture="gemma2",
    gguf_fixed={**GEMMA3.gguf_fixed, "tie_embeddings": True},
    gguf_settings=(
        *renamed(attention_cap="attn_logit_softcapping", logit_cap="final_logit_softcapping"),
        derived(embedding_multiplier=lambda file: file["embedding_length"] ** 0.5),
        gguf_windows(every=2),
    ),
)
