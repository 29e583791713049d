"""How fast rotary angles grow, without torch: the numbers that `rotary.py` computes, for the native runtime.

Legend: `R` turned features, `r` their pairs.
"""

import math

import numpy as np
from jaxtyping import Float32

from shizuku.models.decoder_config import DecoderConfig, RotaryScaling, yarn_temperature

_NONE = RotaryScaling()


def frequencies(config: DecoderConfig, *, local: bool = False) -> tuple[Float32[np.ndarray, " r"], float]:
    """Return each pair's angle per token in radians, and what turned features are multiplied by.

    `local` are the angles of windowed layers in a model that has a base of their own for them.
    """
    width, theta, scaling = config.rotary_width, config.rope_theta, config.rope_scaling
    if local and config.rope_local_theta is not None:
        theta, scaling = config.rope_local_theta, _NONE
    if scaling.kind == "dynamic":
        original = scaling.original_context
        stretch = scaling.factor * max(config.context, original) / original
        theta = theta * (stretch - (scaling.factor - 1)) ** (width / max(width - 2, 1))
    exponents_r = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    # Rounded where float32 rounds: a last digit of an angle is 0.008 radians after 131,072 tokens.
    powers_r = (np.float64(theta) ** exponents_r.astype(np.float64)).astype(np.float32)
    found_r = np.float32(1.0) / powers_r
    if scaling.kind in ("linear", "llama3", "yarn"):
        kept_r = _kept(found_r, scaling, theta)
        found_r = (kept_r * found_r + (1 - kept_r) * (found_r / scaling.factor)).astype(np.float32)
    amplitude = scaling.temperature or yarn_temperature(scaling.factor) if scaling.kind == "yarn" else 1.0
    return found_r, amplitude


def _kept(
    found_r: Float32[np.ndarray, " r"], scaling: RotaryScaling, theta: float
) -> Float32[np.ndarray, " r"]:
    """Return the share of each pair's angle that is not scaled down."""
    original, pairs = scaling.original_context, len(found_r)
    if scaling.kind == "linear":
        return np.zeros_like(found_r)
    if scaling.kind == "llama3":
        low, high = scaling.low_frequency, scaling.high_frequency
        turns_r = original * found_r / (2 * math.pi)
        return ((turns_r - low) / (high - low)).clip(0, 1).astype(np.float32)
    ends = [
        pairs * math.log(original / (turns * 2 * math.pi)) / math.log(theta)
        for turns in (scaling.fast_turns, scaling.slow_turns)
    ]
    first, last = (math.floor(ends[0]), math.ceil(ends[1])) if scaling.whole_features else ends
    first, last = max(first, 0), min(last, 2 * pairs - 1)
    ramp_r = (np.arange(pairs) - first) / ((last - first) or 0.001)
    return (1 - ramp_r.clip(0, 1)).astype(np.float32)


def alibi_slopes(heads: int) -> Float32[np.ndarray, " heads"]:
    """Return how fast each head's scores fall with distance, as in `visibility.py` (Press et al. 2022)."""
    whole = 1 << (heads.bit_length() - 1)
    exponents = [8 * n / whole for n in range(1, whole + 1)]
    exponents += [4 * n / whole for n in range(1, 2 * whole, 2)][: heads - whole]
    return (2.0 ** -np.array(exponents)).astype(np.float32)
