"""Ratios of new to old probability: the clipped loss, and what the log says of them.

Legend: `N` tokens of answers.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor


def clipped_policy_losses(
    logp_N: Tensor, before_N: Tensor, advantages_N: Tensor, clip: float
) -> tuple[Tensor, Tensor]:
    """Each token's loss, minus the smaller of ratio and clipped ratio times the advantage; and its ratio.

    Schulman et al. 2017, equation 7.
    """
    ratio_N = (logp_N - before_N).exp()
    kept_N = ratio_N.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio_N * advantages_N, kept_N * advantages_N), ratio_N


@dataclass(slots=True)
class Ratios:
    """What the ratios of one optimizer step were like, over all its batches."""

    clip: float
    _ratios: list[Tensor] = field(default_factory=list)
    _entropies: list[Tensor] = field(default_factory=list)
    _used: bool = False

    def begin(self) -> None:
        """A step's batches are being counted: what was seen belongs to the step before."""
        if self._used:
            self._ratios, self._entropies, self._used = [], [], False

    def see(self, ratio_N: Tensor, entropy_N: Tensor) -> None:
        """Take note of a batch."""
        self._ratios.append(ratio_N.detach())
        self._entropies.append(entropy_N.detach())
        self._used = True

    def figures(self) -> dict[str, float]:
        """For the log; empty before the first step."""
        if not self._ratios:
            return {}
        ratio_N, entropy_N = torch.cat(self._ratios).double(), torch.cat(self._entropies)
        return {
            "ratio/mean": float(ratio_N.mean()),
            "ratio/variance": float(ratio_N.var(correction=0)),
            "ratio/max": float(ratio_N.max()),
            "ratio/furthest": float((ratio_N - 1).abs().max()),
            "ratio/clipped": float(((ratio_N - 1).abs() > self.clip).double().mean()),
            "ratio/kl_from_before": float((ratio_N - 1 - ratio_N.log()).mean()),
            "entropy": float(entropy_N.mean()),
        }
