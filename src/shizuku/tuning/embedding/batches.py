"""Batches of texts that belong together, several to a row, each seeing itself alone.

Legend: `B` rows, `T` tokens, `N` texts, `P` pairs.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from shizuku.errors import ConfigError
from shizuku.tuning.rows import PADDING, Seen, first_fit


@dataclass(frozen=True, slots=True)
class TextBatch:
    """N texts in B rows: the first texts of P pairs, their second ones, then what else they are told from."""

    ids_BT: Tensor
    """int64: the inputs."""
    segments_BT: Tensor
    """int64: number of the text inside the row, -1 = padding."""
    positions_BT: Tensor
    """int64: position inside the text."""
    texts_BT: Tensor
    """int64: number of the text inside the batch, -1 = padding."""
    keys_N: Tensor
    """int64: the same number for the same text, so that none is told from itself."""
    pairs: int
    """P."""

    def to(self, device: torch.device) -> "TextBatch":
        """The same batch on `device`."""
        moved = {name: tensor.to(device) for name, tensor in self.tensors().items()}
        return TextBatch(**moved, pairs=self.pairs)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and tokens in a row."""
        return self.ids_BT.shape[0], self.ids_BT.shape[1]

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        names = ("ids_BT", "segments_BT", "positions_BT", "texts_BT", "keys_N")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """A pair as the model reads it."""

    text: list[int]
    """Ids of the first text."""
    other: list[int]
    """Ids of the second, which is the first again where single texts are learned from."""
    negatives: tuple[list[int], ...] = ()
    """Ids of what it is told from."""

    @property
    def tokens(self) -> int:
        """Of all its texts."""
        return len(self.text) + len(self.other) + sum(map(len, self.negatives))


class TextTable:
    """Encoded pairs, and batches made of them; ConfigError for fewer than two."""

    def __init__(self, pairs: Sequence[EncodedTexts]) -> None:
        if len(pairs) < 2:
            raise ConfigError(
                f"there is {len(pairs)} pair to learn from: a text is told from those of other pairs, so "
                "there must be two or more (--data, --source, --validation)"
            )
        self.pairs = list(pairs)
        text = json.dumps([[pair.text, pair.other, pair.negatives] for pair in self.pairs])
        self.digest = hashlib.sha256(text.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.pairs)

    def seen(self, numbers: Sequence[int]) -> Seen:
        """What a batch of these pairs holds."""
        rows, length = self.batch(numbers).shape
        return Seen(sum(self.pairs[number].tokens for number in numbers), len(numbers), rows * length)

    def batch(self, numbers: Sequence[int]) -> TextBatch:
        """The pairs of these numbers as tensors; rows are as long as the longest text."""
        here = [self.pairs[number] for number in numbers]
        texts = [pair.text for pair in here] + [pair.other for pair in here]
        texts += [ids for pair in here for ids in pair.negatives]
        sizes = np.array([len(ids) for ids in texts])
        rows = first_fit(np.arange(len(texts)), sizes, int(sizes.max()))
        shape = len(rows), max(int(sizes[row].sum()) for row in rows)
        ids_BT, positions_BT = (np.zeros(shape, dtype=np.int64) for _ in range(2))
        segments_BT, texts_BT = (np.full(shape, PADDING, dtype=np.int64) for _ in range(2))
        for at, row in enumerate(rows):
            end = 0
            for segment, number in enumerate(row):
                place = slice(end, end + int(sizes[number]))
                ids_BT[at, place], positions_BT[at, place] = texts[number], np.arange(sizes[number])
                segments_BT[at, place], texts_BT[at, place] = segment, number
                end = place.stop
        known: dict[tuple[int, ...], int] = {}
        keys = [known.setdefault(tuple(ids), len(known)) for ids in texts]
        return TextBatch(
            ids_BT=torch.from_numpy(ids_BT),
            segments_BT=torch.from_numpy(segments_BT),
            positions_BT=torch.from_numpy(positions_BT),
            texts_BT=torch.from_numpy(texts_BT),
            keys_N=torch.tensor(keys),
            pairs=len(here),
        )


class HeldoutTexts:
    """Goes through pairs, each once, in the same batches every time, none of which has a single pair."""

    def __init__(self, table: TextTable, *, batch_size: int) -> None:
        self.table = table
        order = np.random.Generator(np.random.Philox(0)).permutation(len(table)).tolist()
        self.batches = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
        if len(self.batches[-1]) == 1 and len(self.batches) > 1:
            self.batches[-2:] = [self.batches[-2] + self.batches[-1]]

    def __len__(self) -> int:
        """How many batches one pass has."""
        return len(self.batches)

    def __iter__(self) -> Iterator[TextBatch]:
        """One pass."""
        return map(self.table.batch, self.batches)
