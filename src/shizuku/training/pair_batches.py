"""Batches of pairs for the loop: sources, and targets that are predicted token by token.

Legend: `B` rows, `S` source tokens, `T` target tokens.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shizuku.data.pair_tokens import PairTokens, batches
from shizuku.errors import TrainingError
from shizuku.models.translating import Sources


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Sources, targets, and what comes after each token of the targets."""

    sources: Sources
    """int64 [B, S], with their lengths."""
    ids_BT: Tensor
    """int64: the token that begins a target, and the target."""
    targets_BT: Tensor
    """int64: the target, and the token that ends it."""
    mask_BT: Tensor
    """bool: True where the loss counts."""

    def to(self, device: torch.device) -> "PairBatch":
        """The same batch on `device`."""
        sources = Sources(self.sources.ids_BS.to(device), self.sources.lengths_B.to(device))
        return PairBatch(
            sources, *(getattr(self, name).to(device) for name in ("ids_BT", "targets_BT", "mask_BT"))
        )

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        own = {name: getattr(self, name) for name in ("ids_BT", "targets_BT", "mask_BT")}
        return {"source_BS": self.sources.ids_BS, "lengths_B": self.sources.lengths_B, **own}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and tokens of source and target in a row."""
        return len(self.ids_BT), self.sources.ids_BS.shape[1] + self.ids_BT.shape[1]


@dataclass(frozen=True, slots=True)
class Ends:
    """The tokens that a model of pairs puts around sentences."""

    start: int
    """Begins a target."""
    end: int
    """Ends a source and a target."""


def pair_batch(source: Sequence[Any], target: Sequence[Any], ends: Ends) -> PairBatch:
    """A batch of sentences, whose ids come without beginnings and ends, padded at the end."""
    sources = Sources.padded([[*row, ends.end] for row in source], ends.end)
    lengths_B = torch.tensor([len(row) + 1 for row in target])
    ids_BT = torch.full((len(target), int(lengths_B.max())), ends.end, dtype=torch.int64)
    targets_BT = ids_BT.clone()
    ids_BT[:, 0] = ends.start
    for row, sentence in enumerate(target):
        given = torch.as_tensor(np.asarray(sentence, dtype=np.int64))
        ids_BT[row, 1 : len(given) + 1] = targets_BT[row, : len(given)] = given
    return PairBatch(sources, ids_BT, targets_BT, torch.arange(ids_BT.shape[1]) < lengths_B[:, None])


class PairBatches:
    """Endless batches of pairs of like length, each pair once an epoch, in an order that the seed decides.

    Of a job each process takes every `world`-th row of the same batches.
    """

    def __init__(
        self, pairs: PairTokens, ends: Ends, *, batch_tokens: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        """TrainingError for no pairs at all."""
        if not len(pairs):
            raise TrainingError(
                "there are no pairs to learn from: all were too long or empty (--model.context)"
            )
        self.pairs, self.ends, self.batch_tokens, self.seed = pairs, ends, batch_tokens, seed
        self.rank, self.world = rank, world
        self._epoch = self._at = 0
        self._made: tuple[int, list[np.ndarray]] = (-1, [])

    def next(self) -> PairBatch:
        """The next batch."""
        if self._made[0] != self._epoch:
            generator = np.random.default_rng([self.seed, self._epoch])
            self._made = self._epoch, batches(self.pairs, self.batch_tokens, generator)
        numbers = self._made[1][self._at]
        self._at += 1
        if self._at == len(self._made[1]):
            self._epoch, self._at = self._epoch + 1, 0
        return _own_rows(self.pairs, numbers, self.ends, self.rank, self.world)

    def state_dict(self) -> Mapping[str, Any]:
        """What decides all further batches."""
        return {"epoch": self._epoch, "batch": self._at, "digest": self.pairs.digest}

    def load_state_dict(self, state: Any) -> None:
        """Go on where `state_dict` was taken; TrainingError if that was on other pairs."""
        if state["digest"] != self.pairs.digest:
            raise TrainingError("--resume: this run was begun on other pairs: give the same files")
        self._epoch, self._at = int(state["epoch"]), int(state["batch"])

    def figures(self) -> dict[str, float]:
        """How often all pairs were seen."""
        done = self._at / max(len(self._made[1]), 1) if self._made[0] == self._epoch else 0.0
        return {"epoch": self._epoch + done}


class ValidationPairs:
    """All pairs once, sorted by length, each time it is gone through."""

    def __init__(self, pairs: PairTokens, ends: Ends, *, batch_tokens: int) -> None:
        self.pairs, self.ends, self.batch_tokens = pairs, ends, batch_tokens

    def __iter__(self) -> Iterator[PairBatch]:
        for numbers in batches(self.pairs, self.batch_tokens, None):
            yield _own_rows(self.pairs, numbers, self.ends, 0, 1)


def _own_rows(pairs: PairTokens, numbers: np.ndarray, ends: Ends, rank: int, world: int) -> PairBatch:
    own = numbers[rank::world]
    rows = own if len(own) else numbers[:1]
    made = pair_batch([pairs.source[n] for n in rows], [pairs.target[n] for n in rows], ends)
    if not len(own):  # a process without a row computes along, and counts nothing
        made.mask_BT.zero_()
    return made
