"""Models of any architecture with about as many parameters as asked: a preset, made wider or narrower."""

from collections.abc import Mapping
from typing import Any

from shizuku.config import from_dict
from shizuku.errors import ConfigError
from shizuku.models.architectures import architecture
from shizuku.training.cost import parameter_total
from shizuku.training.presets import PRESETS

STEP = 4
"""Widths are multiples of this."""
WIDEST = 1 << 14
"""Where the search for a width ends."""


def preset_values(name: str, preset: str) -> Mapping[str, Any]:
    """The settings of an architecture's preset; ConfigError for one that it has not."""
    presets: Mapping[str, Mapping[str, Any]] = architecture(name).presets or PRESETS  # type: ignore[assignment]
    if preset not in presets:
        raise ConfigError(f"{name}:{preset}: the presets of {name} are {', '.join(presets)}")
    return presets[preset]


def sized(name: str, preset: str, *, parameters: int, **fixed: Any) -> Any:
    """The config nearest to `parameters`, embeddings among them: `width` and every other width of the preset
    times one factor, all else as it is; `fixed` settings (vocab_size, context) besides.

    ConfigError where the architecture has no width, or is larger at its narrowest.
    """
    values = {**preset_values(name, preset), **fixed}
    if "width" not in values:
        raise ConfigError(f"{name}:{preset}: a preset without a width can't be made wider")
    step = _least_width(values)
    low, high = 1, WIDEST // step
    while low < high:  # the narrowest that has as many
        middle = (low + high) // 2
        if _total(name, values, step * middle) < parameters:
            low = middle + 1
        else:
            high = middle
    if low == 1 and _total(name, values, step) > 1.5 * parameters:
        raise ConfigError(
            f"{name}:{preset} has {_total(name, values, step):,} parameters at its narrowest: "
            f"allow more than {parameters:,}, or choose a smaller preset"
        )
    near = [step * steps for steps in (low - 1, low) if steps]
    width = min(near, key=lambda one: abs(_total(name, values, one) - parameters))
    return _config(name, values, width)


def _least_width(values: Mapping[str, Any]) -> int:
    """Heads that share the width out need an even number each, to be turned by rotary positions."""
    return max(STEP, 2 * values.get("heads", 1)) if "head_width" not in values else STEP


def _config(name: str, values: Mapping[str, Any], width: int) -> Any:
    factor = width / values["width"]
    others = {
        key: max(STEP, STEP * round(value * factor / STEP))
        for key, value in values.items()
        if key.endswith("_width") and isinstance(value, int)
    }
    return from_dict(architecture(name).config, {**values, **others, "width": width}, where="model")


def _total(name: str, values: Mapping[str, Any], width: int) -> int:
    return parameter_total(_config(name, values, width))
