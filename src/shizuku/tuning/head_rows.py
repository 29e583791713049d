"""Texts for a model with a head: it is read at each text's last token, which lengths tell, never pad ids.

The label of a text (its class, or nothing) stands where the next token would, so that the rows that tuning
packs serve here too: what a row's mask marks is the last token of each text.

Legend: `N` texts, `O` outputs of the head.
"""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor

from shizuku.errors import DocumentError
from shizuku.models.heads import HeadedDecoder
from shizuku.progress import bar
from shizuku.training.batches import TensorBatch, on_device
from shizuku.tuning.dataset import LEAST_CONTEXT
from shizuku.tuning.examples import Example
from shizuku.tuning.rows import HeldoutRows

ROW_TOKENS = 1024
"""Tokens of a batch at most, where no text is longer."""


def read_at_end(ids: Sequence[int], label: int = 0, *, second: int | None = None) -> Example:
    """A text of these ids, whose label is told at its last token; DocumentError for one without tokens.

    `second` is where the second text of a pair begins.
    """
    if not ids:
        raise DocumentError("a text without any token has no last one to read it at")
    return Example([*ids, label], [False] * len(ids) + [True], second)


def outputs_at_ends(model: HeadedDecoder, batch: TensorBatch) -> Float[Tensor, "N O"]:
    """The head's outputs at each text's last token, with gradients, row by row."""
    outputs_BTO: Tensor = model(
        batch.ids_BT,
        segments_BT=batch.segments_BT,
        positions_BT=batch.positions_BT,
        types_BT=batch.types_BT,
    )
    return outputs_BTO[batch.mask_BT]


@torch.no_grad()
def head_outputs(
    model: HeadedDecoder,
    texts: Sequence[Sequence[int]],
    *,
    seconds: Sequence[int | None] | None = None,
    what: str | None = None,
) -> Float[Tensor, "N O"]:
    """The head's outputs for texts of any lengths, in their order; `what` names a progress bar.

    `seconds` are where the second texts of pairs begin. Several texts share a row, each attending to itself
    alone. The model is left in the mode it was in.
    """
    if not texts:
        return torch.zeros(0, model.outputs)
    room = max(LEAST_CONTEXT, max(map(len, texts)))
    rows = HeldoutRows(
        [
            read_at_end(ids, second=second)
            for ids, second in zip(texts, seconds or [None] * len(texts), strict=True)
        ],
        context=room,
        batch_size=max(1, ROW_TOKENS // room),
        share=not model.whole,
    )
    device, training = next(model.parameters()).device, model.training
    found = torch.zeros(len(texts), model.outputs)
    done = 0
    model.eval()
    try:
        with nullcontext() if what is None else bar(what, len(texts), "texts") as line:
            for at, batch in enumerate(rows):
                here = rows.rows[at * rows.batch_size : (at + 1) * rows.batch_size]
                numbers = [number for row in here for number in row]
                moved = on_device(batch, device)
                assert isinstance(moved, TensorBatch), "rows of examples are token rows"
                found[numbers] = outputs_at_ends(model, moved).float().cpu()
                done += len(numbers)
                if line is not None:
                    line.update(completed=done)
    finally:
        model.train(training)
    return found
