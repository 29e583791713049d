"""What a layer's inputs look like on text: the mean of x x^T, taken block after block.

As in GPTQ (Frantar et al. 2022) each block sees what the blocks before it, already rounded, hand on. Blocks
run by themselves: what the whole model passes to each of them is recorded once.
N windows, T tokens, D width, C inputs of a layer.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from shizuku.models.decoder import Decoder

Windows = list[tuple[Tensor, Tensor | None]]
"""Batches of token ids [N, T] with their segments (-1: padding), or None where a row is one document."""


class Inputs:
    """Sums of x x^T over the inputs of some layers, padding left out."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._rows: dict[str, int] = {}

    def add(self, name: str, x: Tensor, real: Tensor | None, prefix: str = "") -> None:
        """Count the inputs [..., C] of a layer; `real` marks the tokens that are no padding."""
        name = prefix + name
        x_NC = x.detach()[real] if real is not None else x.detach().flatten(0, -2)
        x_NC = x_NC.float()
        product_CC = x_NC.t() @ x_NC
        if name in self._sums:
            self._sums[name] += product_CC
        else:
            self._sums[name] = product_CC
        self._rows[name] = self._rows.get(name, 0) + len(x_NC)

    def hessian(self, name: str) -> Tensor | None:
        """The mean of x x^T float32 [C, C] for a layer; None for one that was never called."""
        return None if name not in self._sums else self._sums[name] / self._rows[name]


class BlockByBlock:
    """The states of a text between the blocks of a model; `advance` takes them through the next one."""

    def __init__(self, model: Decoder, windows: Windows) -> None:
        self.model, self.windows = model, windows
        self._streams: list[Tensor] = []
        self._calls: list[list[tuple[Any, ...]]] = []
        self._real = [None if s is None or bool((s >= 0).all()) else s >= 0 for _, s in windows]
        for ids, segments in windows:
            self._record(ids, segments)

    @torch.no_grad()
    def inputs_of(self, block: int) -> Inputs:
        """The inputs of the linear layers of a block, by the names that they have in the model."""
        found, module = Inputs(), self.model.blocks[block]
        layers: dict[str, nn.Module] = {n: m for n, m in module.named_modules() if isinstance(m, nn.Linear)}
        for stream, calls, real in zip(self._streams, self._calls, self._real, strict=True):
            with _listening(layers, partial(found.add, real=real, prefix=f"blocks.{block}.")):
                module(stream, *calls[block])
        return found

    @torch.no_grad()
    def advance(self, block: int) -> None:
        """Take the text through a block as it is now."""
        for number, calls in enumerate(self._calls):
            self._streams[number] = self.model.blocks[block](self._streams[number], *calls[block])

    @torch.no_grad()
    def inputs_of_output(self, name: str) -> Inputs:
        """Behind the last block: the inputs of the matrix that makes the logits, under the name given."""
        found = Inputs()
        for stream, real in zip(self._streams, self._real, strict=True):
            found.add(name, self.model.final_norm(stream), real)
        return found

    @torch.no_grad()
    def _record(self, ids: Tensor, segments: Tensor | None) -> None:
        """Run one batch with recorders in the blocks' places: what enters the first, and each one's call."""
        blocks, recorders = self.model.blocks, [_Recorder() for _ in self.model.blocks]
        self.model.blocks = nn.ModuleList(recorders)
        try:
            self.model.hidden(ids, segments_BT=segments)
        finally:
            self.model.blocks = blocks
        self._streams.append(recorders[0].stream)
        self._calls.append([recorder.call for recorder in recorders])


class _Recorder(nn.Module):
    """Stands where a block stood, keeps what it is called with, and hands the stream on as it is."""

    stream: Tensor
    call: tuple[Any, ...]

    def forward(self, stream: Tensor, *call: Any) -> Tensor:
        self.stream, self.call = stream, call
        return stream


@contextmanager
def _listening(layers: dict[str, nn.Module], heard: Callable[[str, Tensor], None]) -> Iterator[None]:
    handles = [
        module.register_forward_pre_hook(lambda _, given, name=name: heard(name, given[0]))
        for name, module in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
