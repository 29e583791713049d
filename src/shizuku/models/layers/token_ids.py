"""What a model reads is looked at first: token ids, embeddings in their place, and positions."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shizuku.errors import ModelError


def check_ids(ids_BT: Tensor, vocab_size: int, what: str = "ids_BT") -> None:
    """ModelError unless these are ids [batch, tokens] of the vocabulary, neither axis empty.

    On accelerators the look-up itself traps bad ids, and reading them back here would stall every step.
    """
    if ids_BT.dim() != 2 or ids_BT.numel() == 0:
        raise ModelError(f"{what} has shape {tuple(ids_BT.shape)}; expected [batch, tokens], neither empty")
    if ids_BT.device.type != "cpu" or torch.compiler.is_compiling():
        return
    low, high = (int(extreme) for extreme in ids_BT.aminmax())
    if low < 0 or high >= vocab_size:
        of = "" if what == "ids_BT" else f" of {what}"
        raise ModelError(
            f"token ids{of} run from {low} to {high}, but the vocabulary has {vocab_size} (ids 0 and up): is "
            "this the model's own tokenizer? Padding is any valid id, segment -1"
        )


def embedded(
    table: nn.Module, config: Any, ids_BT: Tensor | None, embeddings_BTD: Tensor | None
) -> Float[Tensor, "B T D"]:
    """Look up ids, or take embeddings as they are; ModelError unless there is one of them, and it fits."""
    if (ids_BT is None) == (embeddings_BTD is None):
        raise ModelError("give either ids_BT or embeddings_BTD, and not both")
    if embeddings_BTD is None:
        assert ids_BT is not None, "one of the two was given"
        check_ids(ids_BT, config.vocab_size)
        found: Tensor = table(ids_BT)
        return found
    shape = tuple(embeddings_BTD.shape)
    if len(shape) != 3 or shape[-1] != config.width or 0 in shape:
        raise ModelError(
            f"embeddings_BTD has shape {shape}; expected [batch, tokens, {config.width}], none empty"
        )
    return embeddings_BTD


def check_positions(positions_BT: Tensor, context: int) -> None:
    """ModelError unless all are of the model's context; on accelerators as of `check_ids`."""
    if positions_BT.device.type != "cpu" or torch.compiler.is_compiling():
        return
    low, high = (int(extreme) for extreme in positions_BT.aminmax())
    if low < 0 or high >= context:
        raise ModelError(
            f"positions run from {low} to {high}, but the model's context is {context} (positions 0 and up): "
            "shorten the input or use a model with a longer context"
        )
