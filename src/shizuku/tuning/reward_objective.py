"""The loss of a reward model: of two answers the preferred one is to get the higher number.

Legend: `N` sides, `P` pairs. Rows of two are chosen and rejected answers.
"""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from shizuku.models.heads import HeadedDecoder
from shizuku.training.objectives import Term
from shizuku.tuning.pair_rows import PairBatch

LOSS = "preference"


def pair_rewards(model: HeadedDecoder, batch: PairBatch) -> Tensor:
    """Rewards [P, 2] of the chosen and the rejected answers, read at their last tokens, with gradients."""
    outputs_BTO: Tensor = model(batch.ids_BT, segments_BT=batch.segments_BT, positions_BT=batch.positions_BT)
    rewards_N, sides_N = outputs_BTO[..., 0][batch.mask_BT], batch.sides_BT[batch.mask_BT]
    return rewards_N.new_zeros(2 * batch.pairs).index_add(0, sides_N, rewards_N).view(-1, 2)


class PairwiseReward:
    """-log sigmoid(r_chosen - r_rejected), the loss of Bradley and Terry's model of choices, over pairs.

    Ouyang et al. 2022 (InstructGPT), equation 1. Where a batch has references, they are what is asked for
    beyond no difference (Touvron et al. 2023, Llama 2, equation 2): the margin beside the chosen answer. The
    accuracy counts a tie as half.
    """

    terms: Mapping[str, Term]

    def __init__(self) -> None:
        self.terms = {LOSS: Term(), "accuracy": Term(0.0), "margin": Term(0.0)}

    def counts(self, batch: PairBatch) -> dict[str, int]:
        """The pairs."""
        return dict.fromkeys(self.terms, batch.pairs)

    def loss(self, model: Any, batch: PairBatch) -> dict[str, Tensor]:
        """Sums over the pairs of the loss and of each measure."""
        rewards_P2 = pair_rewards(model, batch)
        margins_P = rewards_P2[:, 0] - rewards_P2[:, 1]
        beyond_P = margins_P
        if batch.reference_P2 is not None:
            beyond_P = margins_P - (batch.reference_P2[:, 0] - batch.reference_P2[:, 1])
        known_P = margins_P.detach()
        return {
            LOSS: -F.logsigmoid(beyond_P).sum(),
            "accuracy": ((known_P > 0) + 0.5 * (known_P == 0)).sum(),
            "margin": known_P.sum(),
        }
