"""Marian: the encoder-decoder as published, norms after the layers, one vocabulary for both languages.

Its directories with SentencePiece models in place of a tokenizer.json open as models, without a tokenizer.
"""

from typing import Any

from shizuku.checkpoints.families import Family
from shizuku.checkpoints.translations import Foreign, Translation, activation, renamed
from shizuku.checkpoints.weights import Weight, weight
from shizuku.errors import CheckpointError

_SIZES = {"heads": "attention_heads", "ffn_width": "ffn_dim"}
_STACKS = ("encoder", "decoder")
_NEUTRAL = """
dropout activation_dropout encoder_layerdrop decoder_layerdrop init_std forced_eos_token_id num_beams
max_length bad_words_ids classif_dropout gradient_checkpointing num_hidden_layers length_penalty is_decoder
"""


def _read_sizes(foreign: Foreign) -> dict[str, Any]:
    found = {}
    for field, key in _SIZES.items():
        both = [foreign[f"{stack}_{key}"] for stack in _STACKS]
        if both[0] != both[1]:
            raise CheckpointError(
                f"encoder_{key} {both[0]} and decoder_{key} {both[1]} differ: here both are one"
            )
        found[field] = both[0]
    other = foreign.get("decoder_vocab_size")
    if other not in (None, foreign["vocab_size"]):
        raise CheckpointError(f"decoder_vocab_size {other}: here both languages have one vocabulary")
    return found


def _write_sizes(config: Any) -> dict[str, Any]:
    sizes = {f"{stack}_{key}": getattr(config, field) for field, key in _SIZES.items() for stack in _STACKS}
    return {**sizes, "decoder_vocab_size": config.vocab_size}


def _layer(stack: str, attention: str, ours: str) -> tuple[Weight, ...]:
    theirs, here = f"model.{stack}.layers.{{n}}.{attention}", f"{stack}.{{n}}.{ours}"
    return (
        *weight(f"{theirs}.q_proj", f"{here}.query"),
        *weight(f"{theirs}.k_proj", f"{here}.key"),
        *weight(f"{theirs}.v_proj", f"{here}.value"),
        *weight(f"{theirs}.out_proj", f"{here}.output"),
        *weight(f"{theirs}_layer_norm", f"{here}_norm"),
    )


def _stack(stack: str) -> tuple[Weight, ...]:
    theirs = f"model.{stack}.layers.{{n}}"
    return (
        *_layer(stack, "self_attn", "attention"),
        *(_layer(stack, "encoder_attn", "cross_attention") if stack == "decoder" else ()),
        *weight(f"{theirs}.fc1", f"{stack}.{{n}}.feedforward.up"),
        *weight(f"{theirs}.fc2", f"{stack}.{{n}}.feedforward.down"),
        *weight(f"{theirs}.final_layer_norm", f"{stack}.{{n}}.feedforward_norm"),
    )


FAMILY = Family(
    model_type="marian",
    architecture="MarianMTModel",
    ours="encoder-decoder",
    fixed={
        "norm_placement": "after", "final_norm": False, "norm_eps": 1e-5, "positions": "sinusoidal",
        "biases": True, "share_embeddings": True, "tie_embeddings": True, "logit_bias": True,
    },
    translations=(
        *renamed(vocab_size="vocab_size", context="max_position_embeddings", width="d_model|hidden_size"),
        *renamed(encoder_layers="encoder_layers", decoder_layers="decoder_layers"),
        *renamed(embedding_scale="scale_embedding"),
        Translation(
            keys=("decoder_start_token_id",),
            read=lambda foreign: {"start_id": foreign["decoder_start_token_id"]},
            # Its padding is the same token, and would be one outside of a small vocabulary.
            write=lambda config: dict.fromkeys(("decoder_start_token_id", "pad_token_id"), config.start_id),  # type: ignore[attr-defined]
        ),
        Translation(
            keys=(*(f"{stack}_{key}" for key in _SIZES.values() for stack in _STACKS), "decoder_vocab_size"),
            read=_read_sizes,
            write=_write_sizes,
        ),
        activation("activation_function"),
    ),
    defaults={
        "vocab_size": 58_101, "max_position_embeddings": 1024, "d_model": 1024, "encoder_layers": 12,
        "decoder_layers": 12, "encoder_ffn_dim": 4096, "decoder_ffn_dim": 4096,
        "encoder_attention_heads": 16, "decoder_attention_heads": 16, "activation_function": "gelu",
        "scale_embedding": False, "tie_word_embeddings": True, "decoder_start_token_id": 58_100,
        "share_encoder_decoder_embeddings": True, "normalize_before": False, "normalize_embedding": False,
        "add_final_layer_norm": False, "add_bias_logits": False, "static_position_embeddings": True,
        "extra_pos_embeddings": 58_101,
    },
    neutral=frozenset(_NEUTRAL.split()),
    # transformers begins targets with it, and has no other word for that.
    accepts=lambda config: config.start_id is not None,  # type: ignore[attr-defined]
    prefix="",
    weights=(
        *weight("model.shared", "embedding"),
        *_stack("encoder"),
        *_stack("decoder"),
        Weight(theirs="final_logits_bias", ours=("logit_bias_1V",)),
    ),
    ignored=r"model\.(encoder|decoder)\.(embed_positions|embed_tokens)\.weight",
)  # fmt: skip
