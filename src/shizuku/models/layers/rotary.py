"""Rotary positions (Su et al. 2021) in the half-split layout that Hugging Face checkpoints use.

Legend: `B` batch (or 1), `T` tokens, `H` heads, `K` head width, `R` turned features, `r` their pairs.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shizuku.models.decoder_config import RotaryScaling, yarn_temperature

_NONE = RotaryScaling()


class Rotation(NamedTuple):
    """Cosines and signed sines of every position's angles, shared by the layers of one forward pass."""

    cos_BT1R: Float[Tensor, "B T 1 R"]
    sin_BT1R: Float[Tensor, "B T 1 R"]


def rotation(
    positions_BT: Int[Tensor, "B T"],
    *,
    width: int,
    theta: float,
    scaling: RotaryScaling = _NONE,
    context: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Rotation:
    """Return the rotation of each position for `width` features of a head with base `theta`.

    `context` is the longest sequence of the model, for the scaling that grows with it. Angles are computed in
    float32 whatever `dtype` the result has.
    """
    if scaling.kind == "dynamic":
        theta = _grown_base(scaling, theta, width, context)
    exponents_r = torch.arange(0, width, 2, dtype=torch.float32, device=positions_BT.device) / width
    frequencies_r = 1.0 / theta**exponents_r
    if scaling.kind != "none":
        frequencies_r = _slowed(frequencies_r, scaling, theta)
    angles_BT1r = (positions_BT[:, :, None].float() * frequencies_r)[:, :, None, :]
    cos, sin = angles_BT1r.cos(), angles_BT1r.sin()
    if scaling.kind == "yarn":
        temperature = scaling.temperature or yarn_temperature(scaling.factor)
        cos, sin = cos * temperature, sin * temperature
    # The sign of the rotated half sits in the sine, so that rotating is one roll and one fused multiply-add.
    return Rotation(torch.cat([cos, cos], dim=-1).to(dtype), torch.cat([-sin, sin], dim=-1).to(dtype))


def rotate(x_BTHK: Float[Tensor, "B T H K"], by: Rotation) -> Float[Tensor, "B T H K"]:
    """Return x with each pair (i, i + R/2) of its first R features turned by its position's angle."""
    turned = by.cos_BT1R.shape[-1]
    if turned == x_BTHK.shape[-1]:
        return torch.addcmul(x_BTHK * by.cos_BT1R, x_BTHK.roll(turned // 2, dims=-1), by.sin_BT1R)
    return torch.cat([rotate(x_BTHK[..., :turned], by), x_BTHK[..., turned:]], dim=-1)


def _grown_base(scaling: RotaryScaling, theta: float, width: int, context: int) -> float:
    """Return the base at which the slowest angle reaches `context` tokens ("NTK-aware" scaling)."""
    stretch = scaling.factor * max(context, scaling.original_context) / scaling.original_context
    return theta * (stretch - (scaling.factor - 1)) ** (width / max(width - 2, 1))


def _slowed(frequencies_r: Float[Tensor, " r"], scaling: RotaryScaling, theta: float) -> Float[Tensor, " r"]:
    """Return the angles per token after a scaling that acts on each pair of features by itself."""
    original, slow_r = scaling.original_context, frequencies_r / scaling.factor
    if scaling.kind == "linear":
        return slow_r
    if scaling.kind == "llama3":
        turns_r = original * frequencies_r / (2 * math.pi)
        low, high = scaling.low_frequency, scaling.high_frequency
        kept_r = ((turns_r - low) / (high - low)).clamp(0, 1)
    elif scaling.kind == "yarn":
        pairs = len(frequencies_r)
        # The pair that turns n times within the original context, from theta ** (-pair / pairs).
        ends = [
            pairs * math.log(original / (turns * 2 * math.pi)) / math.log(theta)
            for turns in (scaling.fast_turns, scaling.slow_turns)
        ]
        first, last = (math.floor(ends[0]), math.ceil(ends[1])) if scaling.whole_features else ends
        first, last = max(first, 0), min(last, 2 * pairs - 1)
        numbers_r = torch.arange(pairs, dtype=torch.float32, device=frequencies_r.device)
        kept_r = 1 - ((numbers_r - first) / ((last - first) or 0.001)).clamp(0, 1)
    else:
        assert scaling.kind == "dynamic", f"rope_scaling.kind {scaling.kind!r} has no formula"
        return frequencies_r
    return kept_r * frequencies_r + (1 - kept_r) * slow_r
