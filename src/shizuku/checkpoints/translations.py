"""How single settings of a foreign config become ours and go back: the words of the family files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shizuku.errors import CheckpointError
from shizuku.models.decoder import DecoderConfig

Foreign = Mapping[str, Any]
"""The keys of a foreign config."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Translation:
    """One mechanism, there and here."""

    keys: tuple[str, ...]
    """The foreign keys that `read` looks at, old spellings included."""
    read: Callable[[Foreign], dict[str, Any]]
    """From the foreign config to fields of DecoderConfig; what cannot be had here raises CheckpointError."""
    write: Callable[[DecoderConfig], dict[str, Any]]
    """From our config to foreign keys, in their newest spelling."""


def same(key: str, *fields: str) -> Translation:
    """Translate a key whose value is that of our fields; null or absent means our default."""

    def read(foreign: Foreign) -> dict[str, Any]:
        value = foreign.get(key)
        return {} if value is None else dict.fromkeys(fields, value)

    return Translation(keys=(key,), read=read, write=lambda config: {key: getattr(config, fields[0])})


_ACTIVATIONS = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "relu2": "relu2",
}  # fmt: skip
"""Hugging Face's names; where two mean the same, the first that maps to ours is written."""


def activation(key: str) -> Translation:
    """Translate the name of the feed-forward activation."""

    def read(foreign: Foreign) -> dict[str, Any]:
        name = foreign[key]
        if name not in _ACTIVATIONS:
            raise CheckpointError(f"{key} is {name!r}; the activations known are {', '.join(_ACTIVATIONS)}")
        return {"activation": _ACTIVATIONS[name]}

    def write(config: DecoderConfig) -> dict[str, Any]:
        return {key: next(theirs for theirs, ours in _ACTIVATIONS.items() if ours == config.activation)}

    return Translation(keys=(key,), read=read, write=write)


def rotary(*, theta: float) -> Translation:
    """Translate the rotary base, new spelling (rope_parameters) or old; `theta` if neither is there."""

    def read(foreign: Foreign) -> dict[str, Any]:
        bases: dict[str, float] = {}
        if foreign.get("rope_theta") is not None:
            bases["rope_theta"] = float(foreign["rope_theta"])
        for key in ("rope_parameters", "rope_scaling"):
            settings = dict(foreign.get(key) or {})
            kind = settings.pop("rope_type", settings.pop("type", "default"))
            settings.pop("type", None)
            base = settings.pop("rope_theta", None)
            if kind != "default" or any(value is not None for value in settings.values()):
                raise CheckpointError(
                    f"{key} is {foreign[key]!r}; only plain rotary positions are known here"
                )
            if base is not None:
                bases[key] = float(base)
        if len(set(bases.values())) > 1:
            raise CheckpointError(f"the rotary base is given twice and differs: {bases}")
        return {"rope_theta": next(iter(bases.values()), theta)}

    def write(config: DecoderConfig) -> dict[str, Any]:
        return {"rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta}}

    return Translation(keys=("rope_theta", "rope_parameters", "rope_scaling"), read=read, write=write)


def window_pattern(*, max_window_layers: int) -> Translation:
    """Translate Qwen's sliding windows: layer_types says where, else max_window_layers."""
    keys = ("use_sliding_window", "sliding_window", "max_window_layers", "layer_types")

    def read(foreign: Foreign) -> dict[str, Any]:
        kinds = foreign.get("layer_types")
        on = bool(foreign.get("use_sliding_window")) and foreign.get("sliding_window") is not None
        if kinds is None:
            first = foreign.get("max_window_layers", max_window_layers)
            chosen = tuple(on and layer >= first for layer in range(foreign["num_hidden_layers"]))
        else:
            unknown = sorted(set(kinds) - {"full_attention", "sliding_attention"})
            if unknown:
                raise CheckpointError(
                    f"layer_types has {unknown}; known are full_attention and sliding_attention"
                )
            chosen = tuple(kind == "sliding_attention" for kind in kinds)
        if any(chosen) and not on:
            raise CheckpointError("layer_types has sliding_attention, but the sliding window is switched off")
        return {"sliding_window": foreign["sliding_window"], "sliding_layers": chosen} if any(chosen) else {}

    def write(config: DecoderConfig) -> dict[str, Any]:
        kinds = ["full_attention" if window is None else "sliding_attention" for window in config.windows]
        return {
            "use_sliding_window": config.sliding_window is not None,
            "sliding_window": config.sliding_window,
            "layer_types": kinds,
        }

    return Translation(keys=keys, read=read, write=write)
