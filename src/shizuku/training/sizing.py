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
MOST_HEADS = 64
"""Steps of width to look at for one that heads can share."""


def preset_values(name: str, preset: str) -> Mapping[str, Any]:
    """The settings of an architecture's preset; ConfigError for one that it has not."""
    presets: Mapping[str, Mapping[str, Any]] = architecture(name).presets or PRESETS  # type: ignore[assignment]
    if preset not in presets:
        raise ConfigError(f"{name}:{preset}: the presets of {name} are {', '.join(presets)}")
    return presets[preset]


def sized(name: str, preset: str, *, parameters: int, **fixed: Any) -> Any:
    """The config nearest to `parameters`, embeddings among them: `width` and every other width of the preset
    times one factor, all else as it is; `fixed` settings (vocab_size, context) besides.

    ConfigError where the preset has no width, or is larger at its narrowest.
    """
    values = {**preset_values(name, preset), **fixed}
    if "width" not in values:
        raise ConfigError(f"{name}:{preset}: a preset without a width can't be made wider")
    low, high = 1, WIDEST // STEP
    while low < high:  # the narrowest that has as many
        middle = (low + high) // 2
        if parameter_total(_at_least(name, values, middle)) < parameters:
            low = middle + 1
        else:
            high = middle
    wider = _at_least(name, values, low)
    narrower = next(filter(None, (_config(name, values, steps) for steps in range(low - 1, 0, -1))), wider)
    nearest = min(narrower, wider, key=lambda config: abs(parameter_total(config) - parameters))
    if parameter_total(nearest) > 1.5 * parameters:
        raise ConfigError(
            f"{name}:{preset} has {parameter_total(nearest):,} parameters at its narrowest: allow more than "
            f"{parameters:,}, or choose a smaller preset"
        )
    return nearest


def _at_least(name: str, values: Mapping[str, Any], steps: int) -> Any:
    """The narrowest config from so many steps of width on that heads can share."""
    for more in range(steps, steps + MOST_HEADS):
        config = _config(name, values, more)
        if config is not None:
            return config
    raise ConfigError(f"no width from {STEP * steps} on fits the other settings of {name}: {dict(values)}")


def _config(name: str, values: Mapping[str, Any], steps: int) -> Any | None:
    """The config of this width, or None where the width does not go with the other settings."""
    factor = STEP * steps / values["width"]
    others = {
        key: max(STEP, STEP * round(value * factor / STEP))
        for key, value in values.items()
        if key.endswith("_width") and isinstance(value, int)
    }
    try:
        return from_dict(
            architecture(name).config, {**values, **others, "width": STEP * steps}, where="model"
        )
    except ConfigError:
        return None
