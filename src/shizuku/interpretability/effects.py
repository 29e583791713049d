"""What each part of a model does for an answer: one part at a time is put in, or taken out, and measured.

Legend: `B` rows of a batch, `L` layers, `H` heads, `T` tokens, `V` vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from shizuku.errors import ModelError
from shizuku.interpretability.patching import (
    Ablation,
    Place,
    Score,
    activations,
    head_at,
    replacing,
    stand_ins,
)
from shizuku.models.hooks import hooked

By = Literal["head", "layer", "position"]
"""One head on all tokens; all that an attention or feed-forward layer adds; the stream at one token."""
ROW_BYTES = 2**28
"""Of logits that are computed at once."""
LAYER_PARTS = ("attention", "feedforward")


@dataclass(frozen=True, slots=True)
class Effects:
    """The effect of every part on a score."""

    values: np.ndarray
    """float32: [L, H] by head, [L, 2] by layer (attention, feed-forward layer), [L, T] by position. Of
    patches a share: 0 leaves the corrupted score, 1 restores the clean one. Of ablations the change of the
    score."""
    clean: float
    """The score of the whole model on the clean text."""
    corrupted: float | None
    """The score on the corrupted one; None for ablations."""


def patch_effects(
    model: Any,
    clean: Sequence[int],
    corrupted: Sequence[int],
    score: Score,
    *,
    by: By = "head",
) -> Effects:
    """How much of the clean score each part of the clean run restores in the corrupted one, put in alone.

    ModelError if the texts differ in length or have the same score, which leaves nothing to restore.
    """
    if len(clean) != len(corrupted):
        raise ModelError(
            f"the clean text has {len(clean)} tokens and the corrupted one {len(corrupted)}: patches need "
            "texts of as many tokens, such as two that differ in one word of one token"
        )
    rows = _rows(model, len(clean), by)
    names = sorted({place.name for row in rows for place in row})
    source = activations(model, clean, *names)
    before = _scores(model, corrupted, [[]], {}, score)[0]
    best = _scores(model, clean, [[]], {}, score)[0]
    if best == before:
        raise ModelError("both texts have the same score: no part can restore a difference that is not there")
    found = _scores(model, corrupted, rows, source, score)
    values = ((found - before) / (best - before)).reshape(len(model.blocks), -1)
    return Effects(values.astype(np.float32), float(best), float(before))


def ablation_effects(
    model: Any,
    ids: Sequence[int],
    score: Score,
    *,
    how: Ablation = "zero",
    reference: Sequence[Sequence[int]] = (),
    seed: int = 0,
) -> Effects:
    """How the score changes without each head, taken out alone: below 0 the head was for the answer."""
    rows = _rows(model, len(ids), "head")
    heads = [(layer, head) for layer in range(len(model.blocks)) for head in range(model.config.heads)]
    source = activations(model, ids, "blocks.*.attention.heads")
    instead = stand_ins(model, ids, heads, how=how, reference=reference, seed=seed)
    for layer, name in enumerate(sorted(source, key=_layer_of)):
        kept = source[name]
        source[name] = torch.zeros_like(kept) if not instead else instead[layer][None].expand_as(kept)
    whole = _scores(model, ids, [[]], {}, score)[0]
    found = _scores(model, ids, rows, source, score)
    return Effects((found - whole).reshape(len(model.blocks), -1).astype(np.float32), float(whole), None)


def _layer_of(name: str) -> int:
    return int(name.split(".")[1])


def _rows(model: Any, tokens: int, by: By) -> list[list[Place]]:
    """The places of each patch, layer by layer."""
    layers = range(len(model.blocks))
    if by == "head":
        return [[head_at(layer, head)] for layer in layers for head in range(model.config.heads)]
    if by == "layer":
        return [[Place(f"blocks.{layer}.{part}")] for layer in layers for part in LAYER_PARTS]
    if by == "position":
        stream = "blocks.{}.residual"
        return [[Place(stream.format(layer), position=at)] for layer in layers for at in range(tokens)]
    raise ModelError(f"effects by {by!r}: expected head, layer or position")


def _scores(
    model: Any, ids: Sequence[int], rows: list[list[Place]], source: dict[str, Tensor], score: Score
) -> np.ndarray:
    """The score of the text with the places of each row put in, float64 [rows]."""
    device = next(model.parameters()).device
    ids_T = torch.as_tensor(ids, dtype=torch.long, device=device)
    found = []
    for part in _batches(rows, len(ids_T) * model.config.vocab_size * 4):
        with torch.inference_mode(), hooked(model, replacing(part, source)):
            found.append(score(model(ids_T.expand(len(part), -1)).float()).double().cpu())
    return torch.cat(found).numpy()


def _batches(rows: list[list[Place]], row_bytes: int) -> Iterator[list[list[Place]]]:
    size = max(1, ROW_BYTES // row_bytes)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
