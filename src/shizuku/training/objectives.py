"""What is learned: an objective counts before the forward pass and sums after it; the loop divides.

Legend: `B` rows, `T` tokens, `N` tokens that count, `D` width, `V` vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from shizuku.errors import ConfigError, TrainingError
from shizuku.models.layers.token_ids import check_ids
from shizuku.training.batches import TensorBatch
from shizuku.training.cross_entropy import chunk_tokens, cross_entropy_sums, cross_entropy_sums_of
from shizuku.training.pair_batches import PairBatch


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

    Three things are done in training only, never when evaluating. `z_loss` is the coefficient of the mean of
    log(Z)² (Chowdhery et al. 2022, PaLM), which keeps logits from drifting. `label_smoothing` is the share of
    the target that is spread evenly over the vocabulary (Szegedy et al. 2016). `noise` is NEFTune's alpha
    (Jain et al. 2023): evenly distributed noise on the embeddings, alpha / sqrt(L D) at most, L the tokens of
    a document; it is drawn from torch's global generator. The model has `hidden(...)` and
    `unembedding_weight_VD`; where `linear_unembedding` is false, logits are more than their product, and come
    from `unembed`.
    """

    def __init__(self, z_loss: float = 0.0, *, label_smoothing: float = 0.0, noise: float = 0.0) -> None:
        if not z_loss >= 0:
            raise ConfigError(f"--z-loss: expected 0 or more, found {z_loss}")
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"--label-smoothing: expected 0 <= share < 1, found {label_smoothing}")
        if not noise >= 0:
            raise ConfigError(f"--neftune-alpha: expected 0 or more, found {noise}")
        self.terms: Mapping[str, Term] = {"next_token": Term()}
        if z_loss:
            self.terms = {**self.terms, "z": Term(z_loss, data=False)}
        if label_smoothing:
            self.terms = {**self.terms, "smoothing": Term(label_smoothing, data=False)}
        self.noise = noise

    def counts(self, batch: TensorBatch) -> dict[str, int]:
        """The tokens that count."""
        tokens = int(batch.mask_BT.sum())
        return dict.fromkeys(self.terms, tokens)

    def loss(self, model: nn.Module, batch: TensorBatch) -> dict[str, Tensor]:
        """The sums of cross entropy and, where they are terms, of log(Z)² and of what smoothing adds."""
        x_BTD = self.hidden(model, batch)
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
        sums = {"next_token": ce, "z": z} if "z" in self.terms else {"next_token": ce}
        if "smoothing" in self.terms:
            sums["smoothing"] = smoothing_sum(model, x_ND, targets_N) if model.training else ce.new_zeros(())
        return sums

    def hidden(self, model: Any, batch: Any) -> Tensor:
        """What the logits of the batch are made of [B, T, D]."""
        given: dict[str, Any] = {"ids_BT": batch.ids_BT}
        if self.noise and model.training:
            given = {"embeddings_BTD": noisy_embeddings(model, batch, self.noise)}
        found: Tensor = model.hidden(**given, segments_BT=batch.segments_BT, positions_BT=batch.positions_BT)
        return found


class TargetToken(NextToken):
    """Cross entropy of the target's next token, in nats, given the source and the target so far."""

    def hidden(self, model: Any, batch: PairBatch) -> Tensor:
        """What the logits of the batch are made of [B, T, D]."""
        found: Tensor = model.hidden(batch.ids_BT, sources=batch.sources)
        return found


def smoothing_sum(model: Any, x_ND: Tensor, targets_N: Tensor) -> Tensor:
    """Sum over the tokens of (mean over V of -log p) + log p(target): what smoothing adds for its share.

    With targets (1 - s) onehot + s / V the loss is ce + s · that, and log Z drops out of it: what is left is
    the target's logit less the mean logit, which takes no softmax.
    """
    weight_VD = model.unembedding_weight_VD
    if getattr(model, "linear_unembedding", True):
        product: Tensor = (x_ND * (weight_VD[targets_N] - weight_VD.mean(0))).sum()
        return product

    def less_mean(x_CD: Tensor, targets_C: Tensor) -> Tensor:
        logits_CV = model.unembed(x_CD)
        return (logits_CV.gather(1, targets_C[:, None])[:, 0] - logits_CV.mean(-1)).sum()

    size = chunk_tokens(len(weight_VD), x_ND.element_size())
    total = x_ND.new_zeros(())
    for x_CD, targets_C in zip(x_ND.split(size), targets_N.split(size), strict=True):
        total = total + checkpoint(less_mean, x_CD, targets_C, use_reentrant=False)
    return total


def noisy_embeddings(model: Any, batch: TensorBatch, alpha: float) -> Tensor:
    """Embeddings [B, T, D] with NEFTune's noise, each document's by its own length."""
    check_ids(batch.ids_BT, model.config.vocab_size)
    x_BTD = model.embedding(batch.ids_BT)
    width, tokens = x_BTD.shape[-1], x_BTD.shape[1]
    if batch.segments_BT is None:
        lengths_BT = x_BTD.new_full(batch.ids_BT.shape, tokens)
    else:
        number_BT = batch.segments_BT - batch.segments_BT.min()  # padding counts as a document of its own
        sizes_BS = x_BTD.new_zeros(len(x_BTD), int(number_BT.max()) + 1)
        sizes_BS.scatter_add_(1, number_BT, torch.ones_like(number_BT, dtype=x_BTD.dtype))
        lengths_BT = sizes_BS.gather(1, number_BT)
    scale_BT1 = (alpha / (lengths_BT * width).sqrt())[..., None]
    noisy: Tensor = x_BTD + torch.empty_like(x_BTD).uniform_(-1, 1) * scale_BT1
    return noisy
