"""Rotary positions (Su et al. 2021) in the half-split layout that Hugging Face checkpoints use.

Legend: `B` batch (or 1), `T` tokens, `H` heads, `K` head width.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Rotation(NamedTuple):
    """Cosines and signed sines of every position's angles, shared by all layers of one forward pass."""

    cos_BT1K: Float[Tensor, "B T 1 K"]
    sin_BT1K: Float[Tensor, "B T 1 K"]


def rotation(
    positions_BT: Int[Tensor, "B T"], *, width: int, theta: float, dtype: torch.dtype = torch.float32
) -> Rotation:
    """Return the rotation of each position for heads of `width` features with base `theta`.

    Angles are computed in float32 whatever `dtype` the result has.
    """
    exponents_k = torch.arange(0, width, 2, dtype=torch.float32, device=positions_BT.device) / width
    frequencies_k = 1.0 / theta**exponents_k
    angles_BT1k = (positions_BT[:, :, None].float() * frequencies_k)[:, :, None, :]
    cos, sin = angles_BT1k.cos(), angles_BT1k.sin()
    # The sign of the rotated half sits in the sine, so that rotating is one roll and one fused multiply-add.
    return Rotation(torch.cat([cos, cos], dim=-1).to(dtype), torch.cat([-sin, sin], dim=-1).to(dtype))


def rotate(x_BTHK: Float[Tensor, "B T H K"], by: Rotation) -> Float[Tensor, "B T H K"]:
    """Return x with each pair (i, i + K/2) of features turned by its position's angle."""
    return torch.addcmul(x_BTHK * by.cos_BT1K, x_BTHK.roll(x_BTHK.shape[-1] // 2, dims=-1), by.sin_BT1K)
