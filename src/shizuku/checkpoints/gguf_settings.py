"""What GGUF metadata says about a decoder, both ways; what it cannot say is refused, never lost."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from shizuku.checkpoints.families import Family
from shizuku.config import from_dict
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.decoder_config import DecoderConfig

_SIZES = {
    "context_length": "context", "embedding_length": "width", "block_count": "layers",
    "feed_forward_length": "ffn_width", "attention.head_count": "heads",
    "attention.head_count_kv": "kv_heads", "attention.key_length": "head_width",
}  # fmt: skip
"""Numbers that (nearly) every file has, and our fields."""
_OPTIONAL = {"attention.head_count_kv", "attention.key_length"}
_BIASES = {"attn_q": "attention_bias", "attn_output": "attention_output_bias", "ffn_up": "mlp_bias"}
"""Biases that a file has or not, without its metadata saying so."""


def read_settings(
    family: Family, settings: Mapping[str, Any], tensors: Collection[str], vocab_size: int
) -> DecoderConfig:
    """Return our config for the metadata below the architecture's name and the names of the tensors.

    What is missing, contradictory or not understood raises CheckpointError.
    """
    left = {key: _shortest(value) for key, value in settings.items()}
    try:
        fields: dict[str, Any] = {**family.fixed, **family.gguf_fixed, "vocab_size": vocab_size}
        for translation in family.gguf_settings:
            fields.update(translation.read(left))
        for key, field in _SIZES.items():
            if key in left or key not in _OPTIONAL:
                fields[field] = left.pop(key)
        fields["norm_eps"] = left.pop(f"attention.{_epsilon(family)}")
        if family.fixed.get("positions", "rotary") == "rotary":
            fields.update(_read_rotary(left, fields))
        fields.setdefault("tie_embeddings", "output.weight" not in tensors)
        fused = "blk.0.attn_qkv.weight" in tensors
        for part, field in _BIASES.items():
            name = "attn_qkv" if fused and part == "attn_q" else part
            fields.setdefault(field, f"blk.0.{name}.bias" in tensors)
        config = from_dict(DecoderConfig, fields)
    except KeyError as error:
        raise CheckpointError(f"the metadata lacks {family.gguf_architecture}.{error.args[0]}") from error
    except (ConfigError, TypeError, ZeroDivisionError) as error:
        raise CheckpointError(f"the metadata does not hold together: {error}") from error
    known = {key for translation in family.gguf_settings for key in translation.keys}
    _refuse_unknown(family, {key: value for key, value in left.items() if key not in known}, config)
    return config


def write_settings(family: Family, config: DecoderConfig, tensors: Collection[str]) -> dict[str, Any]:
    """Return the metadata below the architecture's name; CheckpointError for what it cannot say."""
    settings = {key: getattr(config, field) for key, field in _SIZES.items()}
    settings |= {"vocab_size": config.vocab_size, f"attention.{_epsilon(family)}": config.norm_eps}
    if config.positions == "rotary":
        settings |= {"rope.freq_base": config.rope_theta, "rope.dimension_count": config.rotary_width}
        settings["attention.value_length"] = config.head_width
    if config.rope_scaling.kind == "linear":
        settings |= {"rope.scaling.type": "linear", "rope.scaling.factor": config.rope_scaling.factor}
    for translation in family.gguf_settings:
        settings |= {key: value for key, value in translation.write(config).items() if value is not None}
    stored = {key: np.float32(v) if isinstance(v, float) else v for key, v in settings.items()}
    found = read_settings(family, stored, tensors, config.vocab_size)
    for field in dataclasses.fields(DecoderConfig):
        ours, theirs = getattr(config, field.name), getattr(found, field.name)
        equal = config.rotary_width == found.rotary_width if field.name == "rotary_share" else ours == theirs
        if not equal:
            raise CheckpointError(
                f"{field.name} {ours!r}: GGUF's {family.gguf_architecture} can only say {theirs!r}"
            )
    return settings


def _epsilon(family: Family) -> str:
    return "layer_norm_rms_epsilon" if family.fixed["norm"] == "rmsnorm" else "layer_norm_epsilon"


def _read_rotary(left: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"rope_theta": left.pop("rope.freq_base", 10_000.0)}
    head_width = fields.get("head_width") or fields["width"] // fields["heads"]
    found["rotary_share"] = left.pop("rope.dimension_count", head_width) / head_width
    if left.get("rope.scaling.type") == "linear":
        del left["rope.scaling.type"]
        found["rope_scaling"] = {"kind": "linear", "factor": left.pop("rope.scaling.factor")}
    return found


def _refuse_unknown(family: Family, settings: Mapping[str, Any], config: DecoderConfig) -> None:
    harmless: dict[str, tuple[Any, ...]] = {
        "vocab_size": (settings.get("vocab_size"),),
        "tensor_data_layout": (settings.get("tensor_data_layout"),),
        "attention.value_length": (config.head_width,),
        "rope.scaling.type": ("none",),
        "attention.causal": (True,),
    }
    for key, value in settings.items():
        if value not in harmless.get(key, ()) and value not in (0, None, ""):
            raise CheckpointError(
                f"metadata {family.gguf_architecture}.{key} = {value!r} is not understood: the model may "
                "have a mechanism that is missing here, so it is refused"
            )


def _shortest(value: Any) -> Any:
    """Return the shortest decimal that a float32 of the file stands for: 1e-5 is stored as 9.99999975e-06."""
    return float(str(np.float32(value))) if isinstance(value, float | np.float32) else value
