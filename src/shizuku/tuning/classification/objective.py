"""What a classifier learns: the label of each text.

Legend: `N` texts, `C` labels.
"""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from shizuku.training.batches import TensorBatch
from shizuku.training.objectives import Term
from shizuku.tuning.head_rows import outputs_at_ends


class Labels:
    """Cross entropy of each text's label, in nats, over texts; the batch has the label as the target."""

    terms: Mapping[str, Term]

    def __init__(self) -> None:
        self.terms = {"label": Term(), "accuracy": Term(0.0)}

    def counts(self, batch: TensorBatch) -> dict[str, int]:
        """The texts."""
        return dict.fromkeys(self.terms, int(batch.mask_BT.sum()))

    def loss(self, model: Any, batch: TensorBatch) -> dict[str, Tensor]:
        """Sums over the texts of cross entropy and of right choices."""
        logits_NC, truth_N = outputs_at_ends(model, batch).float(), batch.targets_BT[batch.mask_BT]
        return {
            "label": F.cross_entropy(logits_NC, truth_N, reduction="sum"),
            "accuracy": (logits_NC.detach().argmax(-1) == truth_N).sum().float(),
        }
