"""What recurrent language models share: a state of fixed size, documents in packed rows, the way through.

A recurrent block reads its part of the state before a call and leaves what it has become; nothing else is
remembered, so that a text of any length takes the same memory.

Legend: `B` batch, `T` tokens of this call, `N` tokens of all documents of a batch, `D` width, `V` vocabulary.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shizuku.errors import ModelError
from shizuku.models.layers.products import linear
from shizuku.models.layers.token_ids import embedded
from shizuku.models.layers.visibility import PADDING, SHARED

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes by name, without the batch."""


class RecurrentState:
    """What a recurrent model carries from one call to the next: tensors [B, …] by name."""

    def __init__(self, tensors: Mapping[str, Tensor], length: int = 0) -> None:
        """Hold these tensors, which stand behind `length` tokens."""
        self.tensors, self.length = dict(tensors), length

    @property
    def batch(self) -> int:
        """Number of rows."""
        return len(next(iter(self.tensors.values())))

    @property
    def bytes(self) -> int:
        """Bytes that it takes, however long the text was."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def select_rows(self, rows_R: Int[Tensor, " R"]) -> None:
        """Keep, repeat or reorder rows: row r of the new batch is row rows_R[r] of the old."""
        self.tensors = {name: tensor.index_select(0, rows_R) for name, tensor in self.tensors.items()}

    def snapshot(self) -> "RecurrentState":
        """Return a copy to come back to."""
        return RecurrentState({name: tensor.clone() for name, tensor in self.tensors.items()}, self.length)

    def restore(self, snapshot: "RecurrentState") -> None:
        """Become what the snapshot holds."""
        copied = snapshot.snapshot()
        self.tensors, self.length = copied.tensors, copied.length


class Documents:
    """Where the documents of packed rows begin, in the forms that layers ask for."""

    def __init__(self, segments_BT: Int[Tensor, "B T"]) -> None:
        """Take the numbers of the documents inside their rows; padding is a document of its own."""
        first_B1 = torch.ones_like(segments_BT[:, :1], dtype=torch.bool)
        self.starts_BT: Bool[Tensor, "B T"] = torch.cat(
            [first_B1, segments_BT[:, 1:] != segments_BT[:, :-1]], dim=1
        )
        """True for the first token of each document, and of each row."""

    @cached_property
    def ages_BT(self) -> Int[Tensor, "B T"]:
        """How many tokens of the same document stand before each."""
        places_BT = torch.arange(self.starts_BT.shape[1], device=self.starts_BT.device).expand_as(
            self.starts_BT
        )
        return places_BT - torch.where(self.starts_BT, places_BT, 0).cummax(1).values

    @cached_property
    def side_by_side(self) -> tuple[Int[Tensor, " N"], Int[Tensor, " steps"]]:
        """The tokens' places in the flattened rows in the order of their ages, longer documents first; and
        how many documents have a token of each age: torch's packed sequences.
        """
        begins_M = self.starts_BT.flatten().nonzero()[:, 0]
        ends_M = torch.cat([begins_M[1:], begins_M.new_tensor([self.starts_BT.numel()])])
        lengths_M, order_M = (ends_M - begins_M).sort(descending=True, stable=True)
        ages_S1 = torch.arange(int(lengths_M[0]), device=begins_M.device)[:, None]
        there_SM = ages_S1 < lengths_M
        places_SM = begins_M[order_M] + ages_S1
        return places_SM[there_SM], there_SM.sum(1)


@dataclass(frozen=True, slots=True)
class Unfolded:
    """Rows whose documents share their beginning, written so that each has its own copy of it."""

    places_BS: Int[Tensor, "B S"]
    """Which token of the row stands where."""
    segments_BS: Int[Tensor, "B S"]
    """Which document it is of."""
    back_BT: Int[Tensor, "B T"]
    """Where each token of the row is found, one of the shared beginning in its first copy."""

    @classmethod
    def of(cls, segments_BT: Int[Tensor, "B T"]) -> "Unfolded":
        """Unfold; the shared beginning stands first in each row."""
        rows, back = [], torch.zeros_like(segments_BT)
        for row, segments_T in enumerate(segments_BT.tolist()):
            shared = segments_T.count(SHARED)
            places, numbers = list(range(shared)), [segments_T[shared] if shared < len(segments_T) else 0]
            numbers *= shared
            for place in range(shared, len(segments_T)):
                number = segments_T[place]
                if place > shared and number != segments_T[place - 1] and number >= 0:
                    places += range(shared)
                    numbers += [number] * shared
                back[row, place] = len(places)
                places.append(place)
                numbers.append(number)
            back[row, :shared] = torch.arange(shared)
            rows.append((places, numbers))
        longest = max(len(places) for places, _ in rows)
        filled = [
            [each + [filler] * (longest - len(each)) for each, filler in zip(row, (0, PADDING), strict=True)]
            for row in rows
        ]
        both = torch.tensor(filled, device=segments_BT.device)
        return cls(both[:, 0], both[:, 1], back)


@dataclass(frozen=True, slots=True)
class RecurrentCall:
    """What one block is told of a call: what it held before, and where documents begin."""

    prefix: str
    """Before the names of the block's tensors in the state."""
    state: RecurrentState | None
    documents: Documents | None

    def held(self, name: str) -> Tensor | None:
        """The block's tensor of this name, or None where a text begins."""
        return None if self.state is None else self.state.tensors[self.prefix + name]

    def keep(self, name: str, tensor: Tensor) -> None:
        """Leave the block's tensor for the next call."""
        if self.state is not None:
            self.state.tensors[self.prefix + name] = tensor


class RecurrentLanguageModel(nn.Module):
    """Embedding, recurrent blocks, output matrix. A block maps (x_BTD, RecurrentCall) to the next x_BTD and
    says the shapes of what it keeps as `state_shapes`.
    """

    elementwise: frozenset[str] = frozenset()
    """Last parts of the names of parameters that are matrices in shape only: no optimizer turns them."""
    hook_points: tuple[str, ...] = ()
    """Nothing in it can be hooked yet."""

    def __init__(
        self,
        config: Any,
        blocks: Iterable[nn.Module],
        *,
        width: int,
        final_norm: nn.Module | None = None,
        tied: bool = True,
    ) -> None:
        """Put the parts together, with weights that are only fit to be replaced."""
        super().__init__()
        self.config = config
        # nn.Embedding's own numbers, drawn for a model without memory (device meta), import the compiler.
        self.embedding = nn.Embedding(config.vocab_size, width, _weight=torch.zeros(config.vocab_size, width))
        self.blocks = nn.ModuleList(blocks)
        self.final_norm = final_norm
        self.unembedding = None if tied else nn.Linear(width, config.vocab_size, bias=False)
        self.hooks = None

    @property
    def unembedding_weight_VD(self) -> Float[Tensor, "V D"]:
        """The matrix that turns the last block's output into logits."""
        return self.embedding.weight if self.unembedding is None else self.unembedding.weight

    @property
    def dropped(self) -> tuple[nn.Module, ...]:
        """The modules of whose outputs `--loop.dropout` leaves out a share."""
        return (self.embedding, *(getattr(block, "mixer", block) for block in self.blocks))

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor of a state, without the batch."""
        return {
            f"{layer}.{name}": shape
            for layer, block in enumerate(self.blocks)
            for name, shape in block.state_shapes.items()  # type: ignore[union-attr, operator]
        }

    def new_state(self, batch: int) -> RecurrentState:
        """Return the state of `batch` rows before their first token: zeros."""
        weight = self.embedding.weight
        shapes = self.state_shapes.items()
        return RecurrentState({name: weight.new_zeros((batch, *shape)) for name, shape in shapes})

    def forward(self, ids_BT: Int[Tensor, "B T"] | None = None, **given: Any) -> Float[Tensor, "B T V"]:
        """Return the logits of what comes after each token; arguments and errors as for `hidden`."""
        return self.unembed(self.hidden(ids_BT, **given))

    def unembed(self, x_D: Float[Tensor, "*dims D"]) -> Float[Tensor, "*dims V"]:
        """Return the logits of vectors as `hidden` gives them."""
        return linear(x_D, self.unembedding_weight_VD)

    def hidden(
        self, ids_BT: Int[Tensor, "B T"] | None = None, *,
        embeddings_BTD: Float[Tensor, "B T D"] | None = None,
        positions_BT: Int[Tensor, "#B T"] | None = None,
        segments_BT: Int[Tensor, "#B T"] | None = None,
        state: RecurrentState | None = None,
    ) -> Float[Tensor, "B T D"]:  # fmt: skip
        """Return what the output matrix reads, for ids or embeddings.

        `segments_BT` gives the number of the document inside its row, padding being one of its own; each
        begins with an empty state, or with a beginning of segment -2 that all of its row share.
        `positions_BT` is not needed and not looked at. A `state` stands before
        the tokens and is moved behind them. Ids outside the vocabulary and shapes that don't fit raise
        ModelError.
        """
        x_BTD = embedded(self.embedding, self.config, ids_BT, embeddings_BTD)
        if state is not None and state.batch != len(x_BTD):
            raise ModelError(f"the input has {len(x_BTD)} rows, but the state was made for {state.batch}")
        if state is not None and segments_BT is not None:
            raise ModelError("give either a state or segments: what stands before would be in each document")
        documents = None
        if segments_BT is not None and bool((segments_BT == SHARED).any()):
            unfolded = Unfolded.of(segments_BT.expand(*x_BTD.shape[:2]))
            x_BSD = _taken(x_BTD, unfolded.places_BS)
            y_BSD = self.hidden(embeddings_BTD=x_BSD, segments_BT=unfolded.segments_BS)
            return _taken(y_BSD, unfolded.back_BT)
        if segments_BT is not None:
            documents = Documents(segments_BT.expand(*x_BTD.shape[:2]))
        for layer, block in enumerate(self.blocks):
            x_BTD = block(x_BTD, RecurrentCall(f"{layer}.", state, documents))
        if state is not None:
            state.length += x_BTD.shape[1]
        return x_BTD if self.final_norm is None else self.final_norm(x_BTD)


def _taken(x_BTD: Float[Tensor, "B T D"], places_BS: Int[Tensor, "B S"]) -> Float[Tensor, "B S D"]:
    return x_BTD.gather(1, places_BS[..., None].expand(*places_BS.shape, x_BTD.shape[2]))
