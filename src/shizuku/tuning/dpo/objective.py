"""The loss of preference pairs, out of four log-probabilities a pair.

Legend: `P` pairs, `N` tokens of answers. Rows of two are chosen and rejected answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shizuku.adapters.surgery import disabled
from shizuku.errors import ConfigError
from shizuku.training.log_probs import answer_log_probs
from shizuku.training.objectives import Term
from shizuku.tuning.dpo.config import DpoConfig
from shizuku.tuning.pair_rows import PairBatch

LOSS = "preference"
MEASURES = ("accuracy", "margin", "chosen_reward", "rejected_reward")
"""Terms that are only measured."""


@dataclass(frozen=True, slots=True)
class SideScores:
    """What a model says of both answers of each pair."""

    logprobs_P2: Tensor
    """Log-probabilities of the whole answers, in nats."""
    tokens_P2: Tensor
    """Tokens of the answers, as floats."""


def side_scores(model: nn.Module, batch: PairBatch) -> SideScores:
    """Sums over each answer of its tokens' log-probabilities, with gradients."""
    logp_N, side_N = answer_log_probs(model, batch), batch.sides_BT[batch.mask_BT]
    zeros = logp_N.new_zeros(2 * batch.pairs)
    sums = zeros.index_add(0, side_N, logp_N)
    tokens = zeros.index_add(0, side_N, torch.ones_like(logp_N))
    return SideScores(sums.view(-1, 2), tokens.view(-1, 2))


def preference_losses(h_P: Tensor, config: DpoConfig) -> Tensor:
    """The loss of each pair, h by how much the model prefers the chosen answer more than the reference does.

    sigmoid: Rafailov et al. 2023, equation 7, with the labels' share of errors of Mitchell 2023, equation 3;
    ipo: Azar et al. 2023, equation 17, whose tau is beta here.
    """
    if config.loss == "ipo":
        return (h_P - 1 / (2 * config.beta)).square()
    wrong, scaled_P = config.label_smoothing, config.beta * h_P
    losses_P = -(1 - wrong) * F.logsigmoid(scaled_P)
    return losses_P - wrong * F.logsigmoid(-scaled_P) if wrong else losses_P


class Preference:
    """DPO's loss of preference pairs, and what it says of them.

    A batch brings the reference's log-probabilities, or the reference is the model with its adapters switched
    off. Rewards are beta times the log-probability beyond the reference's (a token's, where the loss
    averages); the accuracy counts a tie as half.
    """

    terms: Mapping[str, Term]

    def __init__(self, config: DpoConfig) -> None:
        self.config = config
        self.terms = {LOSS: Term()} | {name: Term(0.0) for name in MEASURES}

    def counts(self, batch: PairBatch) -> dict[str, int]:
        """The pairs."""
        return dict.fromkeys(self.terms, batch.pairs)

    def loss(self, model: Any, batch: PairBatch) -> dict[str, Tensor]:
        """Sums over the pairs of the loss and of each measure."""
        scores = side_scores(model, batch)
        beyond_P2 = scores.logprobs_P2 - self._reference(model, batch)
        if self.config.averaged:
            beyond_P2 = beyond_P2 / scores.tokens_P2
        h_P = beyond_P2[:, 0] - beyond_P2[:, 1]
        rewards_P2 = self.config.beta * beyond_P2.detach()
        margins_P = rewards_P2[:, 0] - rewards_P2[:, 1]
        return {
            LOSS: preference_losses(h_P, self.config).sum(),
            "accuracy": ((margins_P > 0) + 0.5 * (margins_P == 0)).sum(),
            "margin": margins_P.sum(),
            "chosen_reward": rewards_P2[:, 0].sum(),
            "rejected_reward": rewards_P2[:, 1].sum(),
        }

    def _reference(self, model: nn.Module, batch: PairBatch) -> Tensor:
        if batch.reference_P2 is not None:
            return batch.reference_P2
        if self.config.reference != "each":
            raise ConfigError("the pairs have no log-probabilities of a reference")
        training = model.training
        with torch.no_grad(), disabled(model):
            model.eval()
            try:
                return side_scores(model, batch).logprobs_P2
            finally:
                model.train(training)
