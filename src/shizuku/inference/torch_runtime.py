"""Any torch decoder as a runtime: its keys and values in pages, gathered densely for each layer's attention.

Legend: `B` rows of one pass, `T` tokens of a row, `S` slots that a row attends to, `G` key-value heads,
`K` head width, `V` vocabulary, `D` width, `R` rows wanted.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shizuku.adapters.surgery import active_adapter, is_adapted
from shizuku.adapters.visiting import VisitingAdapter
from shizuku.adapters.weights import AdapterWeights
from shizuku.errors import ModelError
from shizuku.inference.adapting import admit, kind_of
from shizuku.inference.runtime import Span
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.models.layers.visibility import PADDING, Layout, plain_layout
from shizuku.models.state import Snapshot

BLOCK_TOKENS = 16
# Tokens of one pass, padding included.
PASS_TOKENS = 4096
# Pieces longer than a few tokens share a pass while real tokens and slots are this part of all.
FILLED, SHORT = 0.8, 16
# Short ones share it up to so many slots of padding: reading the weights once more would cost more.
WASTED_SLOTS = 4096


@dataclass(slots=True)
class Pages:
    """Keys and values of all blocks: for each layer, a row of G · K numbers for each slot."""

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)

    def resize(self, slots: int, like: Tensor, *, layers: int, width: int) -> None:
        """Have so many slots, keeping what is held; `like` says device and type."""
        for tensors in (self.keys, self.values):
            held = tensors[:] or [like.new_zeros((0, width))] * layers
            tensors.clear()
            for old in held:
                new = like.new_zeros((slots, width))
                new[: len(old)] = old
                tensors.append(new)


class PagedState:
    """The `State` of one pass: rows whose slots lie in pages. It serves one call and then is spent."""

    def __init__(
        self, pages: Pages, spans: Sequence[Span], *, block_tokens: int, kv_heads: int, device: torch.device
    ) -> None:
        """Look up where each row's tokens are and will be."""
        self._pages, self._heads, self._device = pages, kv_heads, device
        self._starts = [span.start for span in spans]
        self._counts = [len(span.ids) for span in spans]
        ends = [start + count for start, count in zip(self._starts, self._counts, strict=True)]
        self.tokens, self._slots = max(self._counts), max(ends)
        within = np.arange(block_tokens)
        table_BS = np.zeros((len(spans), self._slots), dtype=np.int64)
        for row, (span, end) in enumerate(zip(spans, ends, strict=True)):
            blocks = np.asarray(span.blocks[: -(-end // block_tokens)])
            table_BS[row, :end] = (blocks[:, None] * block_tokens + within).reshape(-1)[:end]
        self._even = len(set(ends)) == 1 and len(set(self._counts)) == 1
        # A single row in neighbouring blocks is a view; rows that begin here need nothing from the pages.
        first = int(table_BS[0, 0])
        self._run = len(spans) == 1 and bool((table_BS[0] == np.arange(first, first + self._slots)).all())
        self._first, self._fresh = first, self._even and not any(self._starts)
        self._table_BS = torch.from_numpy(table_BS).to(device)
        new = [
            table_BS[row, s : s + n]
            for row, (s, n) in enumerate(zip(self._starts, self._counts, strict=True))
        ]
        self._new_N = torch.from_numpy(np.concatenate(new)).to(device)
        self._ends_B = torch.tensor(ends, device=device)

    @property
    def batch(self) -> int:
        """Number of rows."""
        return len(self._starts)

    @property
    def length(self) -> int:
        """Slots in use before this call, in the longest row."""
        return self._slots - self.tokens

    @property
    def plain(self) -> bool:
        """Whether all rows are equally long, so that no mask is needed."""
        return self._even

    def here(self) -> Layout:
        """Positions and segments of the tokens of this call, padded behind with the segment -1."""
        offsets_T = torch.arange(self.tokens, device=self._device)
        starts_B = torch.tensor(self._starts, device=self._device)
        counts_B = torch.tensor(self._counts, device=self._device)
        padding_BT = offsets_T >= counts_B[:, None]
        positions_BT = (starts_B[:, None] + offsets_T).masked_fill(padding_BT, 0)
        return Layout(positions_BT, torch.where(padding_BT, PADDING, 0))

    def place(
        self, positions_BT: Int[Tensor, "#B T"] | None, segments_BT: Int[Tensor, "#B T"] | None, tokens: int
    ) -> tuple[Layout, Layout]:
        """Layout of this call's tokens, and of each row's slots up to the end of the longest row."""
        everything = plain_layout(self.batch, self._slots, self._device)
        unused_BS = everything.positions_BT >= self._ends_B[:, None]
        return self.here(), Layout(
            everything.positions_BT.masked_fill(unused_BS, 0), torch.where(unused_BS, PADDING, 0)
        )

    def append(
        self, layer: int, k_BGTK: Float[Tensor, "B G T K"], v_BGTK: Float[Tensor, "B G T K"]
    ) -> tuple[Float[Tensor, "B G S K"], Float[Tensor, "B G S K"]]:
        """Write one layer's keys and values into the pages; return all that the rows attend to."""
        found = []
        for pages, new_BGTK in ((self._pages.keys[layer], k_BGTK), (self._pages.values[layer], v_BGTK)):
            rows_BTW = new_BGTK.transpose(1, 2).flatten(2)
            if self._even:
                rows_NW = rows_BTW.flatten(0, 1)
            else:
                rows_NW = torch.cat([rows_BTW[row, :count] for row, count in enumerate(self._counts)])
            pages[self._new_N] = rows_NW
            if self._fresh:
                found.append(new_BGTK)
                continue
            if self._run:
                held_BSW = pages[self._first : self._first + self._slots][None]
            else:
                held_BSW = pages.index_select(0, self._table_BS.flatten()).view(*self._table_BS.shape, -1)
            found.append(held_BSW.unflatten(2, (self._heads, -1)).transpose(1, 2))
        return found[0], found[1]

    def commit(self, tokens: int, layout: Layout | None) -> None:
        """Nothing to count: the caller knows what is held."""

    def grow(self, capacity: int) -> None:
        """Nothing to make: the caller has given the blocks."""

    def select_rows(self, rows_R: Int[Tensor, " R"]) -> None:
        """Rows of one call stay as they are."""
        raise ModelError("a paged state serves one call: give the next call other spans instead")

    def truncate(self, length: int) -> None:
        """What is held is the caller's to know."""
        raise ModelError("a paged state serves one call: begin the next span earlier instead")

    def snapshot(self) -> Snapshot:
        """Blocks are copied by their owner."""
        raise ModelError("a paged state serves one call: copy its blocks with the runtime instead")

    def restore(self, snapshot: Snapshot) -> None:
        """Blocks are copied by their owner."""
        raise ModelError("a paged state serves one call: copy its blocks with the runtime instead")


class TorchRuntime:
    """A `Runtime` over a torch decoder, on the device and in the type that its weights have."""

    company_matters = True

    def __init__(self, model: Decoder, *, block_tokens: int = BLOCK_TOKENS) -> None:
        """Serve `model` in evaluation mode; its weights may change between calls, see `version`."""
        self.model, self.block_tokens, self.blocks = model.eval(), block_tokens, 0
        self._pages = Pages()
        self._visiting: dict[str, VisitingAdapter] = {}
        self.adapters: dict[str, bytes] = {}
        """The digests of its adapters, by name."""

    @property
    def config(self) -> DecoderConfig:
        """What the model is."""
        return self.model.config

    @property
    def context(self) -> int:
        """Longest sequence in tokens."""
        return self.model.config.context

    @property
    def vocab_size(self) -> int:
        """Number of logits."""
        return self.model.config.vocab_size

    @property
    def block_bytes(self) -> int:
        """Bytes that one cache block takes."""
        config = self.model.config
        numbers = 2 * config.layers * config.kv_heads * config.head_width * self.block_tokens
        return numbers * self.model.unembedding_weight_VD.element_size()

    @property
    def version(self) -> tuple[object, ...]:
        """Differs once a weight was replaced or changed in place, hooks were set, or another of the model's
        own adapters acts: what is cached is stale.

        A change through `.data` that keeps the memory is not seen, as it is not by autograd.
        """
        weights = tuple((p.data_ptr(), _changes(p)) for p in self.model.parameters())
        acting = active_adapter(self.model) if is_adapted(self.model) else None
        return (*weights, id(self.model.hooks), acting)

    def reserve(self, blocks: int) -> None:
        """Make the cache at least this many blocks large; what it holds stays. ModelError without memory."""
        if blocks <= self.blocks:
            return
        config, weight = self.model.config, self.model.unembedding_weight_VD
        try:
            with torch.inference_mode():
                self._pages.resize(
                    blocks * self.block_tokens, weight,
                    layers=config.layers, width=config.kv_heads * config.head_width,
                )  # fmt: skip
        except (RuntimeError, MemoryError) as error:
            raise ModelError(
                f"no memory for a cache of {blocks} blocks, {blocks * self.block_bytes} bytes: "
                "lower --cache-tokens"
            ) from error
        self.blocks = blocks

    def copy_block(self, source: int, target: int) -> None:
        """Make block `target` hold what block `source` holds."""
        size = self.block_tokens
        with torch.inference_mode():
            for tensor in (*self._pages.keys, *self._pages.values):
                tensor[target * size : (target + 1) * size] = tensor[source * size : (source + 1) * size]

    def add_adapter(self, name: str, weights: AdapterWeights) -> None:
        """Have one more adapter, which is on the model during a call only; see `AdaptingRuntime`."""
        digest = admit(self.adapters, name, weights, self.model.config)
        if is_adapted(self.model):
            raise ModelError("this model has adapters on it already: merge or detach them first")
        self._visiting[name] = VisitingAdapter(self.model, weights)
        self.adapters[name] = digest

    def forward(self, spans: Sequence[Span]) -> Float[np.ndarray, "R V"]:
        """Logits float32 [R, V], in the order of the spans and of the tokens wanted in them."""
        return self._rows(spans, self.model.unembed, self.vocab_size)

    def hidden(self, spans: Sequence[Span]) -> Float[np.ndarray, "R D"]:
        """Vectors behind the final norm float32 [R, D], in the same order."""
        return self._rows(spans, lambda x_ND: x_ND, self.model.config.width)

    @torch.inference_mode()
    def _rows(self, spans: Sequence[Span], of: Callable[[Tensor], Tensor], width: int) -> np.ndarray:
        self._follow_weights()
        weight = self.model.unembedding_weight_VD
        for span in spans:
            kind_of(self, span.adapter)
        counts = [{"none": 0, "last": 1, "all": len(span.ids)}[span.wanted] for span in spans]
        firsts = np.cumsum([0, *counts])
        result_RW = np.empty((firsts[-1], width), dtype=np.float32)
        for group in groups(spans):
            adapter = spans[group[0]].adapter
            with nullcontext() if adapter is None else self._visiting[adapter].on(self.model, weight):
                x_BTD = self._pass([spans[number] for number in group])
            wanted = [
                x_BTD[row, len(spans[number].ids) - counts[number] : len(spans[number].ids)]
                for row, number in enumerate(group)
                if counts[number]
            ]
            if not wanted:
                continue
            rows = np.concatenate([np.arange(firsts[n], firsts[n + 1]) for n in group])
            result_RW[rows] = of(torch.cat(wanted)).float().cpu().numpy()
        return result_RW

    def _pass(self, spans: Sequence[Span]) -> Float[Tensor, "B T D"]:
        config, device = self.model.config, self.model.unembedding_weight_VD.device
        state = PagedState(
            self._pages, spans,
            block_tokens=self.block_tokens, kv_heads=config.kv_heads, device=device,
        )  # fmt: skip
        ids_BT = torch.tensor([[*s.ids, *[0] * (state.tokens - len(s.ids))] for s in spans], device=device)
        if state.plain:
            return self.model.hidden(ids_BT, state=state)
        here = state.here()
        return self.model.hidden(
            ids_BT, positions_BT=here.positions_BT, segments_BT=here.segments_BT, state=state
        )

    def _follow_weights(self) -> None:
        """A model moved or converted since the last call has its pages with it; they hold nothing of use."""
        weight = self.model.unembedding_weight_VD
        if self._pages.keys and (
            self._pages.keys[0].device != weight.device or self._pages.keys[0].dtype != weight.dtype
        ):
            self._pages, blocks, self.blocks = Pages(), self.blocks, 0
            self.reserve(blocks)


def groups(spans: Sequence[Span]) -> list[list[int]]:
    """Numbers of the spans that share a pass: short ones of similar length, so that little is padding."""
    order = sorted(
        range(len(spans)), key=lambda n: (spans[n].adapter or "", len(spans[n].ids), spans[n].start)
    )
    found: list[list[int]] = []
    for number in order:
        if found and _joins([spans[n] for n in found[-1]], spans[number]):
            found[-1].append(number)
        else:
            found.append([number])
    return found


def _joins(group: Sequence[Span], span: Span) -> bool:
    tokens, rows = len(span.ids), len(group) + 1  # the longest of them: spans come sorted
    ends = [s.start + len(s.ids) for s in (*group, span)]
    read, slots = sum(len(s.ids) for s in group) + tokens, max(ends) * rows
    if span.adapter != group[0].adapter or tokens * rows > PASS_TOKENS or read < FILLED * tokens * rows:
        return False
    return sum(ends) >= FILLED * slots or (tokens <= SHORT and slots - sum(ends) <= WASTED_SLOTS)


def _changes(parameter: Tensor) -> int:
    return 0 if parameter.is_inference() else parameter._version
