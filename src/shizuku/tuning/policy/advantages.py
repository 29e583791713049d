"""From rewards to advantages: how much better than expected every token of an answer was.

Legend: `B` answers, `A` tokens of an answer, padded behind. Masks are true on an answer's own tokens.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from shizuku.tuning.policy.config import PPOConfig

EPS = 1e-8
GROUP_EPS = 1e-4
"""Added to the deviation of a group's rewards, as in the reference implementations."""
MOST_STEERING = 0.2
"""Largest relative error that moves the cost of divergence (Ziegler et al. 2019, section 2.2)."""


def generalised_advantages(
    rewards_BA: Float[np.ndarray, "B A"],
    values_BA: Float[np.ndarray, "B A"],
    mask_BA: Bool[np.ndarray, "B A"],
    *,
    discount: float,
    gae_lambda: float,
) -> tuple[Float[np.ndarray, "B A"], Float[np.ndarray, "B A"]]:
    """Advantages and returns (Schulman et al. 2016): sums of later errors of the values, each step later
    worth `discount` times `gae_lambda` as much. Behind an answer's last token the value is 0.
    """
    advantages_BA = np.zeros(rewards_BA.shape)
    later_B = np.zeros(len(rewards_BA))
    next_B = np.zeros(len(rewards_BA))
    for at in reversed(range(rewards_BA.shape[1])):
        here_B = mask_BA[:, at]
        errors_B = rewards_BA[:, at] + discount * next_B - values_BA[:, at]
        later_B = np.where(here_B, errors_B + discount * gae_lambda * later_B, 0.0)
        next_B = np.where(here_B, values_BA[:, at], 0.0)
        advantages_BA[:, at] = later_B
    return advantages_BA, np.where(mask_BA, advantages_BA + values_BA, 0.0)


def whiten(
    values_BA: Float[np.ndarray, "B A"], mask_BA: Bool[np.ndarray, "B A"], *, shift_mean: bool = True
) -> Float[np.ndarray, "B A"]:
    """The values at deviation 1, and mean 0 unless `shift_mean` is false; those behind the mask are 0."""
    own_N = values_BA[mask_BA]
    whitened_BA = (values_BA - own_N.mean()) / np.sqrt(own_N.var() + EPS)
    if not shift_mean:
        whitened_BA = whitened_BA + own_N.mean()
    return np.where(mask_BA, whitened_BA, 0.0)


def group_advantages(
    rewards_B: Float[np.ndarray, "B"], group: int, *, divide_by_deviation: bool = True
) -> Float[np.ndarray, "B"]:
    """Each answer's reward less its group's mean, by its deviation (n - 1) if asked; groups in a row."""
    rewards_GK = np.asarray(rewards_B, dtype=np.float64).reshape(-1, group)
    centred_GK = rewards_GK - rewards_GK.mean(1, keepdims=True)
    if divide_by_deviation:
        centred_GK = centred_GK / (rewards_GK.std(1, ddof=1, keepdims=True) + GROUP_EPS)
    return centred_GK.reshape(-1)


def divergence(
    logp_BA: Float[np.ndarray, "B A"], reference_BA: Float[np.ndarray, "B A"], estimator: str
) -> Float[np.ndarray, "B A"]:
    """Estimates, from the sampled tokens alone, of each token's divergence from the reference in nats.

    With r = q/p, p the policy and q the reference: k1 = -log r, whose mean is the divergence and which may
    be negative; k3 = r - 1 - log r, which has the same mean and never is (Schulman 2020).
    """
    log_ratio_BA = reference_BA - logp_BA
    return -log_ratio_BA if estimator == "k1" else np.expm1(log_ratio_BA) - log_ratio_BA


def token_rewards(
    scores_B: Float[np.ndarray, "B"],
    penalties_BA: Float[np.ndarray, "B A"],
    mask_BA: Bool[np.ndarray, "B A"],
) -> Float[np.ndarray, "B A"]:
    """Minus the penalty of every token, and the answer's score at its last one."""
    rewards_BA = np.where(mask_BA, -penalties_BA, 0.0)
    rewards_BA[np.arange(len(scores_B)), last_tokens(mask_BA)] += scores_B
    return rewards_BA


def last_tokens(mask_BA: Bool[np.ndarray, "B A"]) -> Int[np.ndarray, "B"]:
    """Place of the last token of every answer."""
    places_B: np.ndarray = mask_BA.sum(1) - 1
    return places_B


def explained_variance(
    values_BA: Float[np.ndarray, "B A"],
    returns_BA: Float[np.ndarray, "B A"],
    mask_BA: Bool[np.ndarray, "B A"],
) -> float:
    """What share of the returns' variance the values foresee: 1 is all, 0 no more than a constant."""
    returns_N, values_N = returns_BA[mask_BA], values_BA[mask_BA]
    variance = float(returns_N.var())
    return 0.0 if variance < EPS else 1.0 - float((returns_N - values_N).var()) / variance


@dataclass(slots=True)
class DivergenceCost:
    """What a nat of divergence costs: fixed, or steered towards a target (Ziegler et al. 2019)."""

    cost: float
    target: float | None = None
    horizon: int = 10_000

    @classmethod
    def of(cls, config: PPOConfig) -> "DivergenceCost":
        """As the config says."""
        return cls(config.kl, config.kl_target, config.kl_horizon)

    def update(self, seen: float, answers: int) -> None:
        """Take note of a divergence that `answers` answers showed."""
        if self.target is not None:
            error = min(max(seen / self.target - 1, -MOST_STEERING), MOST_STEERING)
            self.cost *= 1 + error * answers / self.horizon

    def state_dict(self) -> dict[str, Any]:
        """The cost."""
        return {"cost": self.cost}
