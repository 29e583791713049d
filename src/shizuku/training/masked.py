"""Learning to fill in hidden tokens, and to tell whether two passages follow (Devlin et al. 2018).

Legend: `B` rows, `T` tokens, `N` tokens that are asked for, `P` pairs, `D` width, `V` vocabulary.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from shizuku.data.masked_rows import MaskedBatch, MaskedRows, MaskedValidation
from shizuku.errors import TrainingError
from shizuku.models.encoder import EncoderConfig
from shizuku.training.cross_entropy import chunk_tokens
from shizuku.training.objectives import Term


@dataclass(frozen=True, slots=True)
class MaskedTensors:
    """`MaskedBatch` as tensors on a device."""

    ids_BT: Tensor
    """int64: the inputs, with hidden tokens."""
    targets_BT: Tensor
    """int64: what stands there."""
    mask_BT: Tensor
    """bool: True where it is asked for."""
    types_BT: Tensor
    """int64: which text of a pair a token is of."""
    segments_BT: Tensor
    """int64: number of the pair inside the row, -1 = padding."""
    positions_BT: Tensor
    """int64: position inside the pair."""
    pair_rows_P: Tensor
    """int64: the row of each pair."""
    pair_places_P: Tensor
    """int64: where in the row it begins."""
    strangers_P: Tensor
    """int64: 0 where the second passage follows the first, 1 where it doesn't."""

    @classmethod
    def of(cls, batch: MaskedBatch) -> "MaskedTensors":
        """The same batch as tensors."""
        arrays = {each.name: getattr(batch, each.name) for each in fields(batch)}
        return cls(**{name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()})

    def to(self, device: torch.device) -> "MaskedTensors":
        """The same batch on `device`."""
        return MaskedTensors(**{name: tensor.to(device) for name, tensor in self.tensors().items()})

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and tokens in a row."""
        return self.ids_BT.shape[0], self.ids_BT.shape[1]

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


class MaskedSource:
    """Rows as the loop takes them: see `MaskedRows`."""

    def __init__(self, rows: MaskedRows) -> None:
        self.rows = rows

    @property
    def epoch(self) -> float:
        """How many times the text has been gone through."""
        return self.rows.epoch

    def next(self) -> MaskedTensors:
        """The next batch."""
        return MaskedTensors.of(self.rows.next())

    def state_dict(self) -> Mapping[str, Any]:
        """What decides all further batches."""
        return self.rows.state_dict()

    def load_state_dict(self, state: Any) -> None:
        """Go on where `state_dict` was taken."""
        self.rows.load_state_dict(state)


class MaskedHeldOut:
    """Held-out rows as evaluation takes them: see `MaskedValidation`."""

    def __init__(self, validation: MaskedValidation) -> None:
        self.validation = validation

    def __iter__(self) -> Iterator[MaskedTensors]:
        """One pass."""
        return map(MaskedTensors.of, self.validation)


class FillIn:
    """Cross entropy of the hidden tokens, in nats, over them; and of the pairs' labels, over the pairs.

    `masked_right` and `pairs_right` are the shares of right choices, which add nothing to the loss. The model
    is an `Encoder` with a mask head; its config says whether it has one for pairs.
    """

    def __init__(self, config: EncoderConfig) -> None:
        self.terms: Mapping[str, Term] = {"masked": Term(), "masked_right": Term(0.0)}
        if config.pair_head:
            self.terms = {**self.terms, "next_sentence": Term(), "pairs_right": Term(0.0)}

    def counts(self, batch: MaskedTensors) -> dict[str, int]:
        """The tokens that are asked for, and the pairs."""
        tokens, pairs = int(batch.mask_BT.sum()), len(batch.strangers_P)
        counts = {"masked": tokens, "masked_right": tokens, "next_sentence": pairs, "pairs_right": pairs}
        return {name: counts[name] for name in self.terms}

    def loss(self, model: Any, batch: MaskedTensors) -> dict[str, Tensor]:
        """The sums of both cross entropies and of right choices."""
        x_BTD = model.hidden(
            batch.ids_BT,
            types_BT=batch.types_BT,
            positions_BT=batch.positions_BT,
            segments_BT=batch.segments_BT,
        )
        x_ND, targets_N = x_BTD[batch.mask_BT], batch.targets_BT[batch.mask_BT]
        size = model.config.vocab_size
        if len(targets_N) and int(targets_N.max()) >= size:
            raise TrainingError(
                f"target id {int(targets_N.max())} is outside the model's vocabulary of {size}: is the data "
                "tokenised with this model's tokenizer (--tokenizer)?"
            )
        nats, right = _filled_in(model, x_ND, targets_N)
        sums = {"masked": nats, "masked_right": right}
        if "next_sentence" in self.terms:
            logits_P2 = model.pair_logits(x_BTD[batch.pair_rows_P, batch.pair_places_P]).float()
            sums["next_sentence"] = F.cross_entropy(logits_P2, batch.strangers_P, reduction="sum")
            sums["pairs_right"] = (logits_P2.detach().argmax(-1) == batch.strangers_P).sum().float()
        return sums


def _filled_in(model: Any, x_ND: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy and right choices, summed; logits are made a chunk at a time, and again in the backward
    pass.
    """

    def sums(x_CD: Tensor, targets_C: Tensor) -> tuple[Tensor, Tensor]:
        logits_CV = model.unembed(x_CD).float()
        right = (logits_CV.detach().argmax(-1) == targets_C).sum().float()
        return F.cross_entropy(logits_CV, targets_C, reduction="sum"), right

    size = chunk_tokens(model.config.vocab_size, x_ND.element_size())
    nats, right = x_ND.new_zeros(()), x_ND.new_zeros(())
    for x_CD, targets_C in zip(x_ND.split(size), targets_N.split(size), strict=True):
        more_nats, more_right = checkpoint(sums, x_CD, targets_C, use_reentrant=False)
        nats, right = nats + more_nats, right + more_right
    return nats, right
