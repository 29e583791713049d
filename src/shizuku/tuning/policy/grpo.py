"""GRPO: answers to one prompt are compared with each other, so that no value model is needed.

Legend: `B` answers, `A` tokens of an answer, `N` tokens of the answers in a batch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from shizuku.models.decoder import Decoder
from shizuku.training.objectives import Term
from shizuku.tuning.policy.advantages import group_advantages
from shizuku.tuning.policy.config import GRPOConfig
from shizuku.tuning.policy.forward import AnswerBatch, policy_logprobs
from shizuku.tuning.policy.ppo import scored
from shizuku.tuning.policy.ratios import Ratios, clipped_policy_losses
from shizuku.tuning.policy.rollouts import Rollouts


class GRPO:
    """The method and the objective of GRPO; every token of every answer weighs the same."""

    def __init__(self, config: GRPOConfig) -> None:
        self.config, self.answers_per_prompt = config, config.group
        self.terms: Mapping[str, Term] = {"policy": Term(), **({"kl": Term(config.kl)} if config.kl else {})}
        self.entropy_gradient = False
        self._ratios = Ratios(config.clip)

    def learn(self, rollouts: Rollouts) -> dict[str, float]:
        """Every token of an answer has the advantage of the answer in its group."""
        config, mask_BA = self.config, rollouts.mask_BA
        scores_B = scored(rollouts, config.missing_eos_penalty)
        advantages_B = group_advantages(
            scores_B, config.group, divide_by_deviation=config.divide_by_deviation
        )
        rollouts.advantages_BA = np.where(mask_BA, advantages_B[:, None], 0.0).astype(np.float32)
        equal_G = np.ptp(scores_B.reshape(-1, config.group), axis=1) == 0
        return {"rollout/equal_groups": float(equal_G.mean())}

    def state_dict(self) -> dict[str, Any]:
        """Nothing is carried from round to round."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing is taken up."""

    def counts(self, batch: AnswerBatch) -> dict[str, int]:
        """The answers' tokens."""
        self._ratios.begin()
        return dict.fromkeys(self.terms, int(batch.mask_BT.sum()))

    def loss(self, model: Decoder, batch: AnswerBatch) -> dict[str, Tensor]:
        """Sums over the answers' tokens of the clipped policy loss and of the divergence (k3)."""
        config, mask_BT = self.config, batch.mask_BT
        logp_N, entropy_N, _ = policy_logprobs(model, batch, temperature=config.temperature)
        policy_N, ratio_N = clipped_policy_losses(
            logp_N, batch.logp_BT[mask_BT], batch.advantages_BT[mask_BT], config.clip
        )
        self._ratios.see(ratio_N, entropy_N)
        sums = {"policy": policy_N.sum()}
        if "kl" in self.terms:
            log_ratio_N = batch.reference_BT[mask_BT] - logp_N
            sums["kl"] = (log_ratio_N.expm1() - log_ratio_N).sum()
        return sums

    def figures(self) -> dict[str, float]:
        """Ratios and entropy of the last step."""
        return self._ratios.figures()
