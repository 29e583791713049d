"""What is learned: an objective counts before the forward pass and sums after it; the loop divides.

Legend: `B` rows, `T` tokens, `N` tokens that count, `D` width, `V` vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from shizuku.errors import ConfigError, TrainingError
from shizuku.training.batches import TensorBatch
from shizuku.training.cross_entropy import cross_entropy_sums, cross_entropy_sums_of


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of a loss."""

    coefficient: float = 1.0
    """What the term's mean is multiplied by."""
    data: bool = True
    """Whether it measures the data; evaluation leaves out the others (regularisers)."""


class Objective(Protocol):
    """What a loop learns. `B` in every method is the batch type that the objective and its source share."""

    @property
    def terms(self) -> Mapping[str, Term]:
        """The terms by name."""
        ...

    def counts(self, batch: Any) -> Mapping[str, int]:
        """How many units (tokens, pairs, …) each term sums over in this batch; asked before the forward
        pass.
        """
        ...

    def loss(self, model: Any, batch: Any) -> Mapping[str, Tensor]:
        """Each term's sum over the batch, with gradient; terms that are not in it are zero."""
        ...


class NextToken:
    """Cross entropy of the next token, in nats, over the tokens that the batch's mask marks.

    `z_loss` is the coefficient of the mean of log(Z)² (Chowdhery et al. 2022, PaLM), which keeps logits from
    drifting; it is a training term only. The model has `hidden(...)` and `unembedding_weight_VD`; where
    `linear_unembedding` is false, logits are more than their product, and come from `unembed`.
    """

    def __init__(self, z_loss: float = 0.0) -> None:
        if not z_loss >= 0:
            raise ConfigError(f"--z-loss: expected 0 or more, found {z_loss}")
        self.terms: Mapping[str, Term] = {"next_token": Term()}
        if z_loss:
            self.terms = {**self.terms, "z": Term(z_loss, data=False)}

    def counts(self, batch: TensorBatch) -> dict[str, int]:
        """The tokens that count."""
        tokens = int(batch.mask_BT.sum())
        return dict.fromkeys(self.terms, tokens)

    def loss(self, model: nn.Module, batch: TensorBatch) -> dict[str, Tensor]:
        """The sums of cross entropy and, where it is a term, of log(Z)²."""
        x_BTD = model.hidden(  # type: ignore[operator]
            batch.ids_BT, segments_BT=batch.segments_BT, positions_BT=batch.positions_BT
        )
        mask_BT = batch.mask_BT
        if bool(mask_BT.all()):
            x_ND, targets_N = x_BTD.reshape(-1, x_BTD.shape[-1]), batch.targets_BT.reshape(-1)
        else:
            x_ND, targets_N = x_BTD[mask_BT], batch.targets_BT[mask_BT]
        weight_VD = model.unembedding_weight_VD
        assert isinstance(weight_VD, Tensor)
        if len(targets_N) and int(targets_N.max()) >= len(weight_VD):
            raise TrainingError(
                f"target id {int(targets_N.max())} is outside the model's vocabulary of {len(weight_VD)}: "
                "is the data tokenised with this model's tokenizer (--tokenizer)?"
            )
        with_z = "z" in self.terms and model.training
        if getattr(model, "linear_unembedding", True):
            ce, z = cross_entropy_sums(x_ND, weight_VD, targets_N, with_z=with_z)
        else:
            unembed: Any = model.unembed
            ce, z = cross_entropy_sums_of(unembed, x_ND, targets_N, vocab_size=len(weight_VD), with_z=with_z)
        return {"next_token": ce, "z": z} if "z" in self.terms else {"next_token": ce}
