"""Attention maps: how much every token looks at every other, in every head of every layer.

They come from the hook points of the one real model, so whatever has such points has maps: windows, grouped
queries and soft caps are in them as the model computes them.

Legend: `L` layers, `H` heads, `T` tokens that look, `S` tokens that are looked at.
"""

import fnmatch
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shizuku.errors import ModelError
from shizuku.models.hooks import Hook, Hookable, hook_names, hooked

MOST_BYTES = 2**30
"""Of maps at once."""
PATTERN = "*.pattern"


def pattern_names(model: Any, places: str = "*attention.pattern") -> list[str]:
    """The hook points that give attention patterns, those alone whose names match `places`.

    ModelError for a model that has none, with the kind of model.
    """
    points = hook_names(model) if isinstance(model, Hookable) else []
    names = [name for name in points if fnmatch.fnmatch(name, PATTERN)]
    if not names:
        raise ModelError(
            f"{type(model).__name__} has no attention to look at: maps are made of transformers (n-gram "
            "models and recurrent ones have none)"
        )
    chosen = fnmatch.filter(names, places)
    if not chosen:
        raise ModelError(f"no attention is called {places!r}; there are {', '.join(names[:3])}, …")
    return chosen


def attention_maps(
    model: Any,
    ids: Sequence[int] | Tensor,
    *,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    places: str = "*attention.pattern",
    run: Callable[[Any], object] | None = None,
    most_bytes: int = MOST_BYTES,
) -> np.ndarray:
    """Return float32 [L, H, T, S]: of each token (row) the shares of the tokens it looks at; rows sum to 1.

    `layers` and `heads` leave out the others, which is how a long text stays within `most_bytes`. A model of
    several attentions says which by `places`, a pattern of hook names; `run` runs it on what it needs if
    that is not one row of ids. Raises ModelError for ids that the model cannot take, more bytes than
    allowed, and models without attention.
    """
    ids_T = torch.as_tensor(ids, dtype=torch.long)
    if ids_T.dim() != 1 or ids_T.numel() == 0:
        raise ModelError(f"ids have shape {tuple(ids_T.shape)}; expected the ids of one text, [tokens]")
    names = pattern_names(model, places)
    chosen = _chosen("layer", layers, len(names))
    kept: dict[str, np.ndarray] = {}

    def keep(pattern_BHTS: Tensor, name: str) -> None:
        wanted = _chosen("head", heads, pattern_BHTS.shape[1])
        count = len(chosen) * len(wanted) * pattern_BHTS.shape[2] * pattern_BHTS.shape[3] * 4
        if count > most_bytes:
            raise ModelError(_too_large(len(ids_T), len(chosen), len(wanted), count, most_bytes))
        kept[name] = pattern_BHTS[0, wanted].detach().float().cpu().numpy()

    hooks: dict[str, Hook] = {names[layer]: keep for layer in chosen}
    _check_size(model, len(ids_T), len(chosen), heads, most_bytes)
    with torch.inference_mode(), hooked(model, hooks):
        if run is not None:
            run(model)
        else:
            getattr(model, "hidden", model)(ids_T[None].to(_device(model)))
    shapes = {one.shape for one in kept.values()}
    if len(shapes) > 1:
        raise ModelError(
            f"this model has attentions over different things ({', '.join(names[:3])}, …): choose by "
            '`places`, such as "decoder.*.cross_attention.pattern"'
        )
    return np.stack([kept[names[layer]] for layer in chosen])


def _chosen(kind: str, asked: Sequence[int] | None, count: int) -> list[int]:
    if asked is None:
        return list(range(count))
    wrong = [one for one in asked if not 0 <= one < count]
    if wrong or not asked:
        seen = f"{kind} {wrong[0]}" if wrong else f"no {kind}"
        raise ModelError(f"{seen} was asked for: this model has {kind}s 0 to {count - 1}; see --{kind}")
    return list(asked)


def _check_size(model: Any, tokens: int, layers: int, heads: Sequence[int] | None, most_bytes: int) -> None:
    """Refuse before anything is computed, where the model says how many heads it has."""
    count = getattr(getattr(model, "config", None), "heads", None)
    if count is not None:
        wanted = len(_chosen("head", heads, count))
        needed = 4 * layers * wanted * tokens**2
        if needed > most_bytes:
            raise ModelError(_too_large(tokens, layers, wanted, needed, most_bytes))


def _too_large(tokens: int, layers: int, heads: int, needed: int, most_bytes: int) -> str:
    longest = int((most_bytes / (4 * layers * heads)) ** 0.5)
    return (
        f"the maps of {tokens} tokens in {layers} layers of {heads} heads take {needed / 2**20:,.0f} MB, "
        f"more than {most_bytes / 2**20:,.0f}: shorten the text to {longest} tokens, or choose with --layer "
        "and --head"
    )


def _device(model: Any) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))
