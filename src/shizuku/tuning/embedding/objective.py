"""What a sentence encoder learns: to tell the text that belongs to another from the rest of its batch.

Legend: `B` rows, `T` tokens, `N` texts, `P` pairs, `C` candidates, `D` width.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from shizuku.checkpoints.pooling import Pooling
from shizuku.training.objectives import Term
from shizuku.tuning.embedding.batches import TextBatch


def vectors_of(model: Any, batch: TextBatch, pooling: Pooling) -> Float[Tensor, "N D"]:
    """The vector of each text of the batch, of length one, with gradients: those that `lm.embed` gives."""
    x_BTD = model.hidden(
        ids_BT=batch.ids_BT, segments_BT=batch.segments_BT, positions_BT=batch.positions_BT
    ).float()
    asked_BT = batch.texts_BT >= 0 if pooling == "mean" else batch.positions_BT.eq(0) & (batch.texts_BT >= 0)
    x_MD, texts_M = x_BTD[asked_BT], batch.texts_BT[asked_BT]
    tokens_N = torch.bincount(texts_M, minlength=len(batch.keys_N))
    sums_ND = x_MD.new_zeros(len(batch.keys_N), x_MD.shape[-1]).index_add(0, texts_M, x_MD)
    return F.normalize(sums_ND / tokens_N[:, None], dim=-1, eps=1e-12)


class Contrast:
    """-log softmax of the cosine with the own text, over those with all second texts of the batch, in nats a
    pair; cosines are divided by a temperature.

    Multiple negatives ranking (Henderson et al. 2017), the InfoNCE of van den Oord et al. 2018; with single
    texts, whose two readings differ by what dropout leaves out, SimCSE (Gao et al. 2021). Negatives of all
    pairs are candidates too. A candidate that is the same text as the own one, or as the one that asks, is
    left out. `both_ways` takes the mean with the loss of looking for the first text from the second. What a
    text is told from are those of its own batch, so the loss depends on how pairs are put into batches.
    `nearest` is the share of pairs whose own text is the nearest of the batch, which adds nothing to the
    loss.
    """

    terms: Mapping[str, Term]

    def __init__(self, *, temperature: float, pooling: Pooling = "mean", both_ways: bool = False) -> None:
        self.terms = {"contrast": Term(), "nearest": Term(0.0)}
        self.temperature, self.pooling, self.both_ways = temperature, pooling, both_ways

    def counts(self, batch: TextBatch) -> dict[str, int]:
        """The pairs."""
        return dict.fromkeys(self.terms, batch.pairs)

    def loss(self, model: Any, batch: TextBatch) -> dict[str, Tensor]:
        """Sums over the pairs of the loss and of right choices."""
        vectors_ND, keys_N, pairs = vectors_of(model, batch, self.pooling), batch.keys_N, batch.pairs
        own_P = torch.arange(pairs, device=vectors_ND.device)
        scores_PC = vectors_ND[:pairs] @ vectors_ND[pairs:].T / self.temperature
        scores_PC = scores_PC.masked_fill(_same(keys_N[:pairs], keys_N[pairs:]), -torch.inf)
        loss = F.cross_entropy(scores_PC, own_P, reduction="sum")
        if self.both_ways:
            back_PP = vectors_ND[pairs : 2 * pairs] @ vectors_ND[:pairs].T / self.temperature
            back_PP = back_PP.masked_fill(_same(keys_N[pairs : 2 * pairs], keys_N[:pairs]), -torch.inf)
            loss = (loss + F.cross_entropy(back_PP, own_P, reduction="sum")) / 2
        return {
            "contrast": loss,
            "nearest": (scores_PC.detach().argmax(-1) == own_P).sum().float(),
        }


def _same(asking_P: Tensor, candidates_C: Tensor) -> Bool[Tensor, "P C"]:
    """Where a candidate, other than the own one, is the text that asks or the own text once more."""
    own_P = candidates_C[: len(asking_P)]
    same_PC = (candidates_C == own_P[:, None]) | (candidates_C == asking_P[:, None])
    same_PC[:, : len(asking_P)].fill_diagonal_(False)
    return same_PC
