"""How config.json says what rotary positions do: bases, shares and scalings, old spellings and new."""

from collections.abc import Mapping
from typing import Any

from shizuku.checkpoints.translations import Foreign, Translation
from shizuku.errors import CheckpointError
from shizuku.models.decoder_config import DecoderConfig, RotaryScaling, yarn_temperature

_ORIGINAL = "original_max_position_embeddings"
_KEYS: dict[str, dict[str, str]] = {
    "linear": {"factor": "factor"},
    "dynamic": {"factor": "factor"},
    "llama3": {
        "factor": "factor", _ORIGINAL: "original_context",
        "low_freq_factor": "low_frequency", "high_freq_factor": "high_frequency",
    },
    "yarn": {
        "factor": "factor", _ORIGINAL: "original_context", "beta_fast": "fast_turns",
        "beta_slow": "slow_turns", "truncate": "whole_features", "attention_factor": "temperature",
    },
}  # fmt: skip
"""The keys of each kind of scaling, and our fields."""
_OLD = ("rope_scaling", "rope_parameters")


def rotary(
    *, theta: float = 10_000.0, base: str = "rope_theta", share: str | None = None, default_share: float = 1.0
) -> Translation:
    """Translate the settings of rotary positions, written as rope_parameters.

    `theta` is the base where none is given, `base` the key that it has outside rope_parameters; `share` is
    the key of the share of features that turn, where the family has one, `default_share` what it is when
    absent.
    """

    def read(foreign: Foreign) -> dict[str, Any]:
        bases: dict[str, float] = {}
        if foreign.get(base) is not None:
            bases[base] = float(foreign[base])
        found: dict[str, Any] = {}
        shares = {share: foreign[share]} if share is not None and foreign.get(share) is not None else {}
        for key in _OLD:
            settings = dict(foreign.get(key) or {})
            if settings.get("rope_theta") is not None:
                bases[key] = float(settings["rope_theta"])
            if share is not None and settings.get("partial_rotary_factor") is not None:
                shares[key] = settings.pop("partial_rotary_factor")
            scaling = read_scaling(key, settings, foreign["max_position_embeddings"])
            if scaling is not None:
                found["rope_scaling"] = scaling
        for name, values in (("base", bases), ("share", shares)):
            if len(set(values.values())) > 1:
                raise CheckpointError(f"the rotary {name} is given twice and differs: {values}")
        found["rope_theta"] = next(iter(bases.values()), theta)
        return found | {"rotary_share": float(next(iter(shares.values()), default_share))}

    def write(config: DecoderConfig) -> dict[str, Any]:
        settings = {**write_scaling(config.rope_scaling), "rope_theta": config.rope_theta}
        if share is not None:
            settings["partial_rotary_factor"] = config.rotary_share
        return {"rope_parameters": settings}

    return Translation(keys=tuple(filter(None, (base, share, *_OLD))), read=read, write=write)


def rotary_by_layer(*, theta: float, local_theta: float) -> Translation:
    """Translate settings that differ between windowed layers and the others (whose alone may be scaled)."""

    def read(foreign: Foreign) -> dict[str, Any]:
        parameters = dict(foreign.get("rope_parameters") or {})
        unknown = sorted(set(parameters) - {"full_attention", "sliding_attention"})
        if unknown:
            raise CheckpointError(
                f"rope_parameters has {unknown}; expected full_attention, sliding_attention"
            )
        wide, local = (dict(parameters.get(kind) or {}) for kind in ("full_attention", "sliding_attention"))
        if read_scaling("rope_parameters.sliding_attention", local, 0) is not None:
            raise CheckpointError(
                f"rope_parameters scales windowed layers ({local}), which is not known here"
            )
        found: dict[str, Any] = {}
        for name, settings in (
            ("rope_scaling", foreign.get("rope_scaling") or {}),
            ("rope_parameters", wide),
        ):
            scaling = read_scaling(name, settings, foreign["max_position_embeddings"])
            if scaling is not None:
                found["rope_scaling"] = scaling
        found["rope_theta"] = float(wide.get("rope_theta") or foreign.get("rope_theta") or theta)
        own = local.get("rope_theta") or foreign.get("rope_local_base_freq") or local_theta
        return found | ({"rope_local_theta": float(own)} if foreign.get("sliding_window") else {})

    def write(config: DecoderConfig) -> dict[str, Any]:
        wide = {**write_scaling(config.rope_scaling), "rope_theta": config.rope_theta}
        local = {"rope_type": "default", "rope_theta": config.rope_local_theta or config.rope_theta}
        return {"rope_parameters": {"full_attention": wide, "sliding_attention": local}}

    return Translation(keys=("rope_theta", "rope_local_base_freq", *_OLD), read=read, write=write)


def read_scaling(name: str, settings: Mapping[str, Any], context: int) -> dict[str, Any] | None:
    """Return the fields of RotaryScaling for one foreign dict, None where it scales nothing.

    Raises CheckpointError for kinds and keys that are not known here.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    given.pop("rope_theta", None)
    if given.get("partial_rotary_factor") == 1:
        del given["partial_rotary_factor"]
    kinds = {given.pop(key, None) for key in ("rope_type", "type")} - {None}
    kind = kinds.pop() if len(kinds) == 1 else "default" if not kinds else f"both {sorted(kinds)}"
    if kind == "default" and not given:
        return None
    known = _KEYS.get(kind)
    if known is None:
        raise CheckpointError(
            f"{name} is {dict(settings)!r}; the scalings known here are default, {', '.join(_KEYS)}"
        )
    if "factor" not in given:
        raise CheckpointError(f"{name} is {dict(settings)!r}; {kind!r} needs a factor")
    fields: dict[str, Any] = (
        {"kind": kind, "original_context": context} if kind != "linear" else {"kind": kind}
    )
    if kind == "yarn":
        magnitudes = [given.pop(key, 0) for key in ("mscale", "mscale_all_dim")]
        if all(magnitudes) and "attention_factor" not in given:
            one, other = (yarn_temperature(given["factor"], by) for by in magnitudes)
            given["attention_factor"] = one / other
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise CheckpointError(f"{name} is {dict(settings)!r}; {', '.join(unknown)} is not known for {kind!r}")
    return fields | {known[key]: value for key, value in given.items()}


def write_scaling(scaling: RotaryScaling) -> dict[str, Any]:
    """Return the foreign dict, without the base; inverse of `read_scaling`."""
    if scaling.kind == "none":
        return {"rope_type": "default"}
    fields = {key: getattr(scaling, field) for key, field in _KEYS[scaling.kind].items()}
    if not scaling.temperature:
        fields.pop("attention_factor", None)
    return {"rope_type": scaling.kind, **fields}
