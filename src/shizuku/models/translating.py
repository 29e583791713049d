"""What models that write a target for a source have in common: their batches, and how they are asked.

Legend: `B` rows, `S` source tokens, `T` target tokens, `D` width, `V` vocabulary, `L` layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from shizuku.errors import ModelError
from shizuku.models.layers.token_ids import check_ids


@dataclass(frozen=True, slots=True)
class Sources:
    """Sentences to translate, padded at their ends; the lengths say what is padding, never the ids."""

    ids_BS: Int[Tensor, "B S"]
    """Any valid id stands where there is padding."""
    lengths_B: Int[Tensor, " B"]
    """At least 1."""

    @classmethod
    def padded(cls, rows: Sequence[Any], filler: int) -> "Sources":
        """Put sentences, the tokens that end them included, into one tensor."""
        lengths_B = torch.tensor([len(row) for row in rows])
        ids_BS = torch.full((len(rows), int(lengths_B.max())), filler, dtype=torch.int64)
        for number, row in enumerate(rows):
            ids_BS[number, : len(row)] = torch.as_tensor(np.asarray(row, dtype=np.int64))
        return cls(ids_BS, lengths_B)

    @property
    def real_BS(self) -> Bool[Tensor, "B S"]:
        """Where there is a token."""
        return torch.arange(self.ids_BS.shape[1], device=self.ids_BS.device) < self.lengths_B[:, None]

    @property
    def ragged(self) -> bool:
        """Whether there is any padding."""
        return bool((self.lengths_B < self.ids_BS.shape[1]).any())


@runtime_checkable
class TargetState(Protocol):
    """What is remembered between two tokens of the targets: the sources as they were read, and so far."""

    @property
    def batch(self) -> int:
        """Number of rows."""
        ...

    @property
    def length(self) -> int:
        """Tokens of the target that were read, the same for all rows."""
        ...

    def select_rows(self, rows_R: Int[Tensor, " R"]) -> None:
        """Keep, repeat or reorder rows: row r of the new batch is row rows_R[r] of the old."""
        ...


@runtime_checkable
class TranslationModel(Protocol):
    """A model of an architecture that runs as `pairs`."""

    config: Any

    def hidden(self, ids_BT: Int[Tensor, "B T"], *, sources: Sources) -> Float[Tensor, "B T D"]:
        """Return what `unembed` makes the logits of, each behind the target's tokens up to there."""
        ...

    def unembed(self, x_D: Float[Tensor, "*dims D"]) -> Float[Tensor, "*dims V"]:
        """Return the logits of what `hidden` gives."""
        ...

    def start(self, sources: Sources) -> TargetState:
        """Read the sources."""
        ...

    def step(self, ids_B: Int[Tensor, " B"], state: TargetState) -> Float[Tensor, "B V"]:
        """Return the logits behind one more token of each target."""
        ...

    def pattern(self, ids_BT: Int[Tensor, "B T"], *, sources: Sources) -> Float[Tensor, "B L T S"]:
        """Return how much each target token looks at each source token while it is being predicted, for each
        layer that looks there, as a mean over heads; ModelError where nothing looks.
        """
        ...


def check_pair(ids_BT: Tensor, sources: Sources, *, context: int, vocab_size: int) -> None:
    """ModelError for shapes that don't fit, ids outside the vocabulary, and sentences beyond the window."""
    for name, ids in (("the source", sources.ids_BS), ("the target", ids_BT)):
        check_ids(ids, vocab_size, name)
        if ids.shape[1] > context:
            raise ModelError(
                f"{name} has {ids.shape[1]} tokens, more than the model's window of {context}: shorten it"
            )
    if len(sources.ids_BS) != len(ids_BT) or sources.lengths_B.shape != ids_BT.shape[:1]:
        raise ModelError(
            f"{len(sources.ids_BS)} sources with {len(sources.lengths_B)} lengths, but {len(ids_BT)} targets"
        )
    if int(sources.lengths_B.min()) < 1 or int(sources.lengths_B.max()) > sources.ids_BS.shape[1]:
        raise ModelError(f"source lengths run outside 1 to {sources.ids_BS.shape[1]}, the tokens of a row")
