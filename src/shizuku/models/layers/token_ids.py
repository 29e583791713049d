"""Token ids are looked at before they are looked up, and what may stand in their place before it is read."""

import torch
from torch import Tensor

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


def check_embeddings(x_BTD: Tensor, width: int) -> None:
    """ModelError unless these are embeddings [batch, tokens, width], no axis empty."""
    if x_BTD.dim() != 3 or x_BTD.shape[-1] != width or x_BTD.numel() == 0:
        raise ModelError(
            f"embeddings_BTD has shape {tuple(x_BTD.shape)}; expected [batch, tokens, {width}], none empty"
        )
