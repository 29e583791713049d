"""A torch model with a state of fixed size as a runtime: one cache block holds one sequence, however long.

A block has the state behind everything that was read, and the state before the last span, so that a caller
may come back to any place inside that span: to try several continuations, or where guessed tokens were wrong.

Rows of one pass go on together up to the end of the shortest, which then leaves: nothing is ever padded.

Legend: `B` rows of one pass (or blocks), `T` tokens of a row, `S` numbers of a state, `D` width, `V`
vocabulary, `R` rows wanted.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from shizuku.errors import ModelError
from shizuku.inference.adapting import kind_of
from shizuku.inference.runtime import Span
from shizuku.models.recurrence import RecurrentState

LONGEST = 1 << 20
"""Tokens of a sequence at most: the state is as large at any length, and counting has to end somewhere."""
PASS_TOKENS = 4096
"""Tokens of one pass, all rows together."""


@dataclass(slots=True)
class _Read:
    """What was read into one block."""

    tokens: int = 0
    """All tokens."""
    last: list[int] = field(default_factory=list)
    """Those of the last span."""


class RecurrentRuntime:
    """A `Runtime` over a recurrent torch model, on the device and in the type that its weights have."""

    company_matters = True
    indivisible = True
    """A block is of use to those alone who begin with all of its tokens."""

    def __init__(self, model: Any) -> None:
        """Serve `model`, a `RecurrentLanguageModel`, in evaluation mode."""
        self.model, self.blocks = model.eval(), 0
        self._sizes = [math.prod(shape) for shape in model.state_shapes.values()]
        self._now_BS = self._before_BS = torch.zeros((0, sum(self._sizes)))
        self._read: list[_Read] = []

    @property
    def config(self) -> Any:
        """What the model is."""
        return self.model.config

    @property
    def context(self) -> int:
        """Longest sequence in tokens."""
        return LONGEST

    @property
    def vocab_size(self) -> int:
        """Number of logits."""
        return int(self.model.config.vocab_size)

    @property
    def block_tokens(self) -> int:
        """Tokens that one cache block holds: all of a sequence."""
        return LONGEST

    @property
    def _like(self) -> Tensor:
        """What says device and type; the output matrix may be packed."""
        return next(self.model.parameters())

    @property
    def block_bytes(self) -> int:
        """Bytes of one sequence: its state, and the state before its last span."""
        return 2 * sum(self._sizes) * self._like.element_size()

    @property
    def version(self) -> tuple[object, ...]:
        """Differs once a weight was replaced or changed in place: what is cached is stale."""
        return tuple((p.data_ptr(), 0 if p.is_inference() else p._version) for p in self.model.parameters())

    @torch.inference_mode()
    def reserve(self, blocks: int) -> None:
        """Make the cache at least this many blocks large; what it holds stays. ModelError without memory."""
        if blocks <= self.blocks:
            return
        weight = self._like
        try:
            more_BS = weight.new_zeros((blocks - self.blocks, sum(self._sizes)))
            self._now_BS = torch.cat([self._now_BS.to(weight), more_BS])
            self._before_BS = torch.cat([self._before_BS.to(weight), more_BS])
        except (RuntimeError, MemoryError) as error:
            raise ModelError(
                f"no memory for the states of {blocks} sequences, {blocks * self.block_bytes} bytes: "
                "lower --running"
            ) from error
        self._read += [_Read() for _ in range(blocks - self.blocks)]
        self.blocks = blocks

    @torch.inference_mode()
    def copy_block(self, source: int, target: int) -> None:
        """Make block `target` hold what block `source` holds."""
        for tensor_BS in (self._now_BS, self._before_BS):
            tensor_BS[target] = tensor_BS[source]
        read = self._read[source]
        self._read[target] = _Read(read.tokens, list(read.last))

    def forward(self, spans: Sequence[Span]) -> Float[np.ndarray, "R V"]:
        """Logits float32 [R, V], in the order of the spans and of the tokens wanted in them."""
        return self._rows(spans, self.model.unembed, self.vocab_size)

    def hidden(self, spans: Sequence[Span]) -> Float[np.ndarray, "R D"]:
        """Vectors that the output matrix reads float32 [R, D], in the same order."""
        return self._rows(spans, lambda x_ND: x_ND, self.model.config.width)

    @torch.inference_mode()
    def _rows(self, spans: Sequence[Span], of: Callable[[Tensor], Tensor], width: int) -> np.ndarray:
        for span in spans:
            kind_of(self, span.adapter)
        self._follow_weights()
        resumed = [self._resume(span) for span in spans]
        given = [read.last for read in resumed]
        counts = [{"none": 0, "last": 1, "all": len(span.ids)}[span.wanted] for span in spans]
        ends = np.cumsum(counts)
        result_RW = np.empty((sum(counts), width), dtype=np.float32)
        order = sorted(range(len(spans)), key=lambda n: len(given[n]))
        blocks_B = self._tensor([spans[n].blocks[0] for n in order])
        self._before_BS[blocks_B] = self._now_BS[blocks_B]
        state, done = self._state(blocks_B), 0
        while order:
            tokens = min(len(given[order[0]]) - done, max(1, PASS_TOKENS // len(order)))
            ids_BT = self._tensor([given[n][done : done + tokens] for n in order])
            x_BTD = self.model.hidden(ids_BT, state=state)
            done += tokens
            for row, n in enumerate(order):
                left = len(given[n]) - done  # tokens of it that are still to be read
                wanted_ND = x_BTD[row, max(0, tokens + left - counts[n]) :]
                if len(wanted_ND):
                    end = ends[n] - left
                    result_RW[end - len(wanted_ND) : end] = of(wanted_ND).float().cpu().numpy()
            ended = sum(len(given[n]) == done for n in order)
            if ended:
                self._now_BS[blocks_B[:ended]] = self._flat(state)[:ended]
                order, blocks_B = order[ended:], blocks_B[ended:]
                state.select_rows(torch.arange(ended, state.batch, device=blocks_B.device))
        for span, read in zip(spans, resumed, strict=True):
            self._read[span.blocks[0]] = read  # not before: a pass that fails has read nothing
        return result_RW

    def _resume(self, span: Span) -> _Read:
        """Bring a span's block to where it can be read on; what will have been read behind the pass, with the
        ids of the pass last: the span's, and behind a place inside the last span those that led there.
        """
        block, ids = span.blocks[0], list(span.ids)
        read = self._read[block]
        begin = read.tokens - len(read.last)
        if span.start == 0:
            self._now_BS[block] = 0
            begin = 0
        elif begin <= span.start < read.tokens:
            self._now_BS[block] = self._before_BS[block]
            ids = read.last[: span.start - begin] + ids
        else:
            assert span.start == read.tokens, (
                f"a state behind {read.tokens} tokens can't go on at {span.start}: only inside its last span"
            )
            begin = read.tokens
        return _Read(begin + len(ids), ids)

    def _state(self, blocks_B: Tensor) -> RecurrentState:
        parts = self._now_BS[blocks_B].split(self._sizes, dim=1)
        shapes = self.model.state_shapes.items()
        return RecurrentState(
            {name: part_BS.unflatten(1, shape) for (name, shape), part_BS in zip(shapes, parts, strict=True)}
        )

    def _flat(self, state: RecurrentState) -> Tensor:
        return torch.cat([state.tensors[name].flatten(1) for name in self.model.state_shapes], dim=1)

    def _tensor(self, numbers: list[int] | list[list[int]]) -> Tensor:
        return torch.tensor(numbers, device=self._like.device)

    def _follow_weights(self) -> None:
        """A model moved or converted since the last call has its states with it, and they begin anew."""
        weight = self._like
        if self._now_BS.device != weight.device or self._now_BS.dtype != weight.dtype:
            self._now_BS = torch.zeros_like(self._now_BS, dtype=weight.dtype, device=weight.device)
            self._before_BS = self._now_BS.clone()
            self._read = [_Read() for _ in self._read]
