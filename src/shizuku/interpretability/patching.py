"""Putting what a model computed on one text into its run on another, and switching heads off.

Everything goes over hook points of the one model. A head is put in by what it read (`attention.heads`, before
the output projection), so what it adds to the residual stream is that head's and no other's.

Legend: `B` rows, `H` heads, `T` tokens, `K` head width, `V` vocabulary.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from shizuku.errors import ModelError
from shizuku.models.hooks import Hook, hooked, recorded

HEADS = "blocks.{layer}.attention.heads"
Ablation = Literal["zero", "mean", "resample"]
"""A head's reading is replaced by nothing, by its mean over the tokens of reference texts, or by what it
reads on another text."""


@dataclass(frozen=True, slots=True)
class Place:
    """A part of what a model computes: a hook point, one of its heads or all, one of its tokens or all."""

    name: str
    """The hook point: [B, T, D], or [B, H, T, K] with heads."""
    head: int | None = None
    """The head; None is all of them, or a point without heads."""
    position: int | None = None
    """The token; None is all of them."""


def head_at(layer: int, head: int, position: int | None = None) -> Place:
    """One head of one layer."""
    return Place(HEADS.format(layer=layer), head, position)


def run_on(model: Any, ids: Sequence[int] | Tensor) -> Tensor:
    """Logits float32 [T, V] of a text, in the path that patches take; ModelError for unusable ids."""
    with torch.inference_mode():
        return model(_row(model, ids))[0].float()


def activations(model: Any, ids: Sequence[int] | Tensor, *patterns: str) -> dict[str, Tensor]:
    """What the model computes on a text, by hook name: every point whose name matches a pattern.

    Where attention patterns are among them, the rest differs by rounding from a run without hooks.
    """
    with torch.inference_mode(), recorded(model, *patterns) as kept:
        model(_row(model, ids))
    return kept


def patch(
    model: Any, ids: Sequence[int] | Tensor, places: Iterable[Place], source: Mapping[str, Tensor]
) -> Tensor:
    """Logits float32 [T, V] of a text when these places hold what `source` has there.

    `source` is what `activations` gave for a text of as many tokens. Nothing patched is the plain run;
    all heads, feed-forward layers and embeddings patched is the other text's run, exactly. ModelError for
    places that the model or the source doesn't have, and shapes that differ.
    """
    row_BT = _row(model, ids)
    hooks = replacing([list(places)], source)
    with torch.inference_mode(), hooked(model, hooks):
        return model(row_BT)[0].float()


def replacing(rows: Sequence[Sequence[Place]], source: Mapping[str, Tensor]) -> dict[str, Hook]:
    """Hooks that put into row b of a batch what `source` has at the places of `rows[b]`."""
    wanted: dict[str, list[tuple[int, Place]]] = {}
    for number, places in enumerate(rows):
        for place in places:
            if place.name not in source:
                raise ModelError(f"nothing was recorded at {place.name}: name it in `activations`")
            wanted.setdefault(place.name, []).append((number, place))

    def hook_of(taken: Tensor, here: Sequence[tuple[int, Place]]) -> Hook:
        def put(tensor: Tensor, name: str) -> Tensor:
            if taken.shape[1:] != tensor.shape[1:]:
                raise ModelError(
                    f"{name} is {list(tensor.shape[1:])} here and {list(taken.shape[1:])} in what is put in: "
                    "the two texts must have as many tokens"
                )
            tensor = tensor.clone()
            for row, place in here:
                at = _index(place, tensor)
                tensor[(row, *at)] = taken[(0, *at)]
            return tensor

        return put

    return {name: hook_of(source[name], here) for name, here in wanted.items()}


def _index(place: Place, tensor: Tensor) -> tuple[int | slice, ...]:
    """Where a place is in one row of its tensor."""
    whole = slice(None)
    tokens = tensor.shape[-2]
    if place.position is not None and not -tokens <= place.position < tokens:
        raise ModelError(f"{place.name}: token {place.position} of a text of {tokens} tokens")
    at = whole if place.position is None else place.position
    if tensor.dim() == 3:
        if place.head is not None:
            raise ModelError(f"{place.name} has no heads: take blocks.N.attention.heads")
        return (at,)
    if place.head is not None and not 0 <= place.head < tensor.shape[1]:
        raise ModelError(f"{place.name}: head {place.head}, but there are 0 to {tensor.shape[1] - 1}")
    return (whole if place.head is None else place.head, at)


def ablate_heads(
    model: Any,
    ids: Sequence[int] | Tensor,
    heads: Iterable[tuple[int, int]],
    *,
    how: Ablation = "zero",
    reference: Sequence[Sequence[int]] = (),
    seed: int = 0,
) -> Tensor:
    """Logits float32 [T, V] of a text without these heads, each a (layer, head).

    "mean" takes the mean over all tokens of the `reference` texts (the text itself if there are none);
    "resample" takes, token by token, what the head reads on one of them, drawn by `seed`, which has to be as
    long as the text at least. ModelError for heads that the model doesn't have.
    """
    chosen = sorted(set(heads))
    row_BT = _row(model, ids)
    instead = stand_ins(model, row_BT[0], chosen, how=how, reference=reference, seed=seed)

    def hook_of(layer: int) -> Hook:
        def put(read_BHTK: Tensor, name: str) -> Tensor:
            read_BHTK = read_BHTK.clone()
            for head in (head for at, head in chosen if at == layer):
                if not 0 <= head < read_BHTK.shape[1]:
                    raise ModelError(f"{name}: head {head}, but there are 0 to {read_BHTK.shape[1] - 1}")
                read_BHTK[:, head] = instead[layer][head] if instead else 0.0
            return read_BHTK

        return put

    hooks = {HEADS.format(layer=layer): hook_of(layer) for layer, _ in chosen}
    with torch.inference_mode(), hooked(model, hooks):
        return model(row_BT)[0].float()


def stand_ins(
    model: Any,
    ids: Sequence[int] | Tensor,
    heads: Iterable[tuple[int, int]],
    *,
    how: Ablation,
    reference: Sequence[Sequence[int]] = (),
    seed: int = 0,
) -> dict[int, Tensor]:
    """What stands for the heads' readings, [H, T, K] by layer; nothing for "zero"."""
    if how not in ("zero", "mean", "resample"):
        raise ModelError(f"ablation by {how!r}: expected zero, mean or resample")
    names = {layer: HEADS.format(layer=layer) for layer, _ in heads}
    if how == "zero" or not names:
        return {}
    own_T = torch.as_tensor(ids, dtype=torch.long)
    texts = [torch.as_tensor(text, dtype=torch.long) for text in reference]
    if how == "mean":
        texts = texts or [own_T]
        total = sum(len(text) for text in texts)
        sums: dict[int, Tensor] = {}
        for text in texts:
            kept = activations(model, text, *names.values())
            for layer, name in names.items():
                sums[layer] = sums.get(layer, 0) + kept[name][0].sum(1, keepdim=True)
        return {layer: (one / total).expand(-1, len(own_T), -1) for layer, one in sums.items()}
    long = [text for text in texts if len(text) >= len(own_T)]
    if not long:
        raise ModelError(
            f"resampling needs a reference text of at least {len(own_T)} tokens; the longest of "
            f"{len(texts)} has {max(map(len, texts), default=0)}"
        )
    drawn = int(torch.randint(len(long), (1,), generator=torch.Generator().manual_seed(seed)))
    kept = activations(model, long[drawn], *names.values())
    return {layer: kept[name][0, :, : len(own_T)] for layer, name in names.items()}


Score = Callable[[Tensor], Tensor]
"""Takes logits [B, T, V] and returns a number for each row [B]."""


def logit_difference(right: int, wrong: int, position: int = -1) -> Score:
    """How much more the model is for one next token than for another, in nats."""

    def score(logits_BTV: Tensor) -> Tensor:
        return logits_BTV[:, position, right] - logits_BTV[:, position, wrong]

    return score


def _row(model: Any, ids: Sequence[int] | Tensor) -> Tensor:
    ids_T = torch.as_tensor(ids, dtype=torch.long)
    if ids_T.dim() != 1 or ids_T.numel() == 0:
        raise ModelError(f"ids have shape {tuple(ids_T.shape)}; expected the ids of one text, [tokens]")
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return ids_T[None].to(device)
