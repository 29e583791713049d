"""How single settings of a foreign config become ours and go back: the words of the family files."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shizuku.errors import CheckpointError
from shizuku.models.decoder_config import DecoderConfig

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


def renamed(**keys: str) -> tuple[Translation, ...]:
    """Translate fields of ours, each given with its foreign key; later spellings stand behind a bar.

    `layers="n_layer|num_hidden_layers"` reads both and writes the first; both with different values raise.
    """
    return tuple(_spelled(field, spellings.split("|")) for field, spellings in keys.items())


def _spelled(field: str, keys: list[str]) -> Translation:
    def read(foreign: Foreign) -> dict[str, Any]:
        values = {key: foreign[key] for key in keys if foreign.get(key) is not None}
        if any(value != foreign[key] for value in values.values() for key in values):
            raise CheckpointError(f"{field} is given twice and differs: {values}")
        return {field: next(iter(values.values()))} if values else {}

    return Translation(keys=tuple(keys), read=read, write=lambda config: {keys[0]: getattr(config, field)})


SIZES = renamed(
    vocab_size="vocab_size", context="max_position_embeddings", width="hidden_size",
    layers="num_hidden_layers", heads="num_attention_heads", ffn_width="intermediate_size",
    tie_embeddings="tie_word_embeddings",
)  # fmt: skip
"""What nearly every config.json says in the same words."""


def derived(**formulas: Callable[[Foreign], Any]) -> Translation:
    """Translate what a family works out instead of saying it: fields of ours from the foreign config."""
    return Translation(
        keys=(),
        read=lambda foreign: {field: formula(foreign) for field, formula in formulas.items()},
        write=lambda config: {},
    )


def four_times(key: str, *, width: str) -> Translation:
    """Translate the feed-forward layer's width, which is four times the stream's where it isn't said."""
    return Translation(
        keys=(key,),
        read=lambda foreign: {"ffn_width": foreign.get(key) or 4 * foreign[width]},
        write=lambda config: {key: config.ffn_width},
    )


def attention_scale(key: str, *, inverse_root: bool = False) -> Translation:
    """Translate the factor on attention scores, or the number whose inverse root it is."""
    power = -0.5 if inverse_root else 1

    def write(config: DecoderConfig) -> dict[str, Any]:
        if inverse_root:
            scale = config.attention_scale
            return {key: config.head_width if scale is None else round(scale**-2)}
        return {key: config.attention_scale or config.head_width**-0.5}

    return Translation(
        keys=(key,), read=lambda foreign: {"attention_scale": float(foreign[key]) ** power}, write=write
    )


def inverse(key: str, field: str) -> Translation:
    """Translate a foreign divisor that is a factor here."""
    return Translation(
        keys=(key,),
        read=lambda foreign: {} if foreign.get(key) is None else {field: 1 / foreign[key]},
        write=lambda config: {key: 1 / getattr(config, field)},
    )


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


def layer_types(*, every: int) -> Translation:
    """Translate windows that all but each `every`-th layer have, unless layer_types says where."""
    keys = ("sliding_window", "layer_types", "sliding_window_pattern", "_sliding_window_pattern")

    def read(foreign: Foreign) -> dict[str, Any]:
        period = foreign.get("sliding_window_pattern", foreign.get("_sliding_window_pattern", every))
        kinds = foreign.get("layer_types")
        chosen = tuple(bool((layer + 1) % period) for layer in range(foreign["num_hidden_layers"]))
        return _windows(foreign, chosen if kinds is None else windowed(kinds))

    def write(config: DecoderConfig) -> dict[str, Any]:
        return {"sliding_window": config.sliding_window or config.context, "layer_types": kinds_of(config)}

    return Translation(keys=keys, read=read, write=write)


def gguf_windows(*, every: int, local_theta: float | None = None) -> Translation:
    """Translate GGUF's windows, which all but each `every`-th layer have; `local_theta` is their own base."""

    def read(settings: Foreign) -> dict[str, Any]:
        chosen = tuple(bool((layer + 1) % every) for layer in range(settings["block_count"]))
        found = {"sliding_window": settings["attention.sliding_window"], "sliding_layers": chosen}
        if local_theta is None:
            return found
        return found | {"rope_local_theta": settings.get("rope.freq_base_swa", local_theta)}

    def write(config: DecoderConfig) -> dict[str, Any]:
        found: dict[str, Any] = {"attention.sliding_window": config.sliding_window}
        if config.rope_local_theta != local_theta:
            found["rope.freq_base_swa"] = config.rope_local_theta
        return found

    return Translation(keys=("attention.sliding_window", "rope.freq_base_swa"), read=read, write=write)


def window_pattern(*, max_window_layers: int) -> Translation:
    """Translate Qwen's sliding windows: layer_types says where, else max_window_layers."""
    keys = ("use_sliding_window", "sliding_window", "max_window_layers", "layer_types")

    def read(foreign: Foreign) -> dict[str, Any]:
        kinds = foreign.get("layer_types")
        on = bool(foreign.get("use_sliding_window")) and foreign.get("sliding_window") is not None
        first = foreign.get("max_window_layers", max_window_layers)
        chosen = tuple(on and layer >= first for layer in range(foreign["num_hidden_layers"]))
        chosen = chosen if kinds is None else windowed(kinds)
        if any(chosen) and not on:
            raise CheckpointError("layer_types has sliding_attention, but the sliding window is switched off")
        return _windows(foreign, chosen)

    def write(config: DecoderConfig) -> dict[str, Any]:
        return {
            "use_sliding_window": config.sliding_window is not None,
            "sliding_window": config.sliding_window,
            "layer_types": kinds_of(config),
        }

    return Translation(keys=keys, read=read, write=write)


def _windows(foreign: Foreign, chosen: tuple[bool, ...]) -> dict[str, Any]:
    return {"sliding_window": foreign["sliding_window"], "sliding_layers": chosen} if any(chosen) else {}


def windowed(kinds: Iterable[str]) -> tuple[bool, ...]:
    """Return which layers of a `layer_types` are windowed; an unknown kind raises CheckpointError."""
    unknown = sorted(set(kinds) - {"full_attention", "sliding_attention"})
    if unknown:
        raise CheckpointError(f"layer_types has {unknown}; known are full_attention and sliding_attention")
    return tuple(kind == "sliding_attention" for kind in kinds)


def kinds_of(config: DecoderConfig) -> list[str]:
    """Return the `layer_types` of our config."""
    return ["full_attention" if window is None else "sliding_attention" for window in config.windows]
