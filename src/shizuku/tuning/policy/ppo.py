"""PPO: what a round's answers teach, and the loss that teaches it.

Legend: `B` answers, `A` tokens of an answer, `N` tokens of the answers in a batch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shizuku.training.objectives import Term
from shizuku.tuning.policy.advantages import (
    DivergenceCost,
    divergence,
    explained_variance,
    generalised_advantages,
    token_rewards,
    whiten,
)
from shizuku.tuning.policy.config import PPOConfig
from shizuku.tuning.policy.critic import ActorCritic
from shizuku.tuning.policy.forward import AnswerBatch, policy_logprobs
from shizuku.tuning.policy.ratios import Ratios, clipped_policy_losses
from shizuku.tuning.policy.rollouts import Rollouts


class PPO:
    """The method and the objective of PPO, with what it carries from round to round."""

    answers_per_prompt = 1

    def __init__(self, config: PPOConfig) -> None:
        self.config = config
        self.cost = DivergenceCost.of(config)
        self.terms: Mapping[str, Term] = {
            "policy": Term(),
            "value": Term(config.value_coefficient),
            **({"entropy": Term(-config.entropy_coefficient)} if config.entropy_coefficient else {}),
        }
        self.entropy_gradient = "entropy" in self.terms
        self._ratios = Ratios(config.clip)

    # ---- the method

    def learn(self, rollouts: Rollouts) -> dict[str, float]:
        """Rewards token by token, advantages and returns; the cost of divergence is steered for the next."""
        config, mask_BA = self.config, rollouts.mask_BA
        logp_BA, reference_BA = rollouts.logp_BA.astype(np.float64), rollouts.reference_BA.astype(np.float64)
        kl_BA = np.where(mask_BA, divergence(logp_BA, reference_BA, config.kl_estimator), 0.0)
        scores_B = scored(rollouts, config.missing_eos_penalty)
        rewards_BA = token_rewards(scores_B, self.cost.cost * kl_BA, mask_BA)
        whole_B = rewards_BA.sum(1)
        if config.whiten_rewards:
            rewards_BA = whiten(rewards_BA, mask_BA, shift_mean=False)
        values_BA = rollouts.values_BA.astype(np.float64)
        advantages_BA, returns_BA = generalised_advantages(
            rewards_BA, values_BA, mask_BA, discount=config.discount, gae_lambda=config.gae_lambda
        )
        found = {
            "rollout/kl_cost": self.cost.cost,
            "rollout/reward_less_kl": float(whole_B.mean()),
            "rollout/value": float(values_BA[mask_BA].mean()),
            "rollout/value_explained": explained_variance(values_BA, returns_BA, mask_BA),
        }
        if config.whiten_advantages:
            advantages_BA = whiten(advantages_BA, mask_BA)
        rollouts.advantages_BA = advantages_BA.astype(np.float32)
        rollouts.returns_BA = returns_BA.astype(np.float32)
        self.cost.update(float(kl_BA.sum(1).mean()), len(kl_BA))
        return found

    def state_dict(self) -> dict[str, Any]:
        """The cost of divergence."""
        return self.cost.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it up."""
        self.cost.cost = float(state["cost"])

    # ---- the objective

    def counts(self, batch: AnswerBatch) -> dict[str, int]:
        """The answers' tokens."""
        self._ratios.begin()
        return dict.fromkeys(self.terms, int(batch.mask_BT.sum()))

    def loss(self, model: ActorCritic, batch: AnswerBatch) -> dict[str, Tensor]:
        """Sums over the answers' tokens: clipped policy loss, clipped squared error, entropy."""
        config, mask_BT = self.config, batch.mask_BT
        logp_N, entropy_N, x_BTD = policy_logprobs(
            model.decoder, batch, temperature=config.temperature, entropy_gradient=self.entropy_gradient
        )
        policy_N, ratio_N = clipped_policy_losses(
            logp_N, batch.logp_BT[mask_BT], batch.advantages_BT[mask_BT], config.clip
        )
        values_N = model.values(batch, x_BTD)
        value_N = clipped_value_losses(
            values_N, batch.values_BT[mask_BT], batch.returns_BT[mask_BT], config.value_clip
        )
        self._ratios.see(ratio_N, entropy_N)
        sums = {"policy": policy_N.sum(), "value": value_N.sum()}
        if "entropy" in self.terms:
            sums["entropy"] = entropy_N.sum()
        return sums

    def figures(self) -> dict[str, float]:
        """Ratios and entropy of the last step."""
        return self._ratios.figures()


def clipped_value_losses(values_N: Tensor, before_N: Tensor, returns_N: Tensor, clip: float) -> Tensor:
    """Half the squared error of each value, or that of the value kept within `clip` of before, if larger."""
    kept_N = before_N + (values_N - before_N).clamp(-clip, clip)
    return 0.5 * torch.maximum((values_N - returns_N).square(), (kept_N - returns_N).square())


def scored(rollouts: Rollouts, missing_eos_penalty: float) -> np.ndarray:
    """The answers' rewards [B], less what it costs not to have ended."""
    scores_B: np.ndarray = rollouts.rewards_B - missing_eos_penalty * ~rollouts.finished_B
    return scores_B
