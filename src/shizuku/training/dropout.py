"""Dropout from outside the model: while a run trains, and nowhere else."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shizuku.adapters.surgery import decoder_of


def seed_draws(seed: int, step: int, rank: int) -> None:
    """Settle what one step of one process draws: its own places, the same again where a run is resumed."""
    mixed = random.Random(f"{seed} {step} {rank}").getrandbits(63)
    torch.manual_seed(mixed)


@contextmanager
def dropping(model: nn.Module, share: float) -> Iterator[None]:
    """Inside the `with` block, leave out a `share` of the embeddings and of what each layer adds.

    A model that has no attention and feed-forward layers says in `dropped` whose outputs are meant.
    Only while the model is in training mode; what stays is scaled up by 1 / (1 - share), so that sums keep
    their expectation (Srivastava et al. 2014).
    """

    def drop(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        return F.dropout(output, share) if module.training else output

    places = (part for part in _places(model) if share)
    handles = [part.register_forward_hook(drop) for part in places]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _places(model: nn.Module) -> Sequence[nn.Module]:
    own: Any = getattr(decoder_of(model), "dropped", None)
    if own is not None:
        return tuple(own)
    parts = [part for block in model.blocks for part in (block.attention, block.feedforward)]  # type: ignore[union-attr]
    return (decoder_of(model).embedding, *parts)
