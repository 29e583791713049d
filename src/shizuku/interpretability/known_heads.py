"""Heads that are known from other models: those that look at the token before, and those that copy.

On random tokens that are said twice, an induction head looks from a token of the second time to the one that
followed it the first time (Olsson et al. 2022); nothing but the repetition can tell it where.

Legend: `L` layers, `H` heads, `T` tokens, `N` tokens that are repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from shizuku.errors import ModelError
from shizuku.interpretability.maps import attention_maps


@dataclass(frozen=True, slots=True)
class KnownHeads:
    """How much each head does what heads of a kind do, float32 [L, H], shares of its attention."""

    induction: np.ndarray
    """From a token to the one after its earlier copy."""
    duplicate: np.ndarray
    """From a token to its earlier copy."""
    previous: np.ndarray
    """From a token to the one before it."""
    first: np.ndarray
    """From a token to the first of the text, where heads rest."""


def known_heads(
    model: Any,
    *,
    length: int = 50,
    texts: int = 4,
    ids: Sequence[int] | None = None,
    start: int | None = None,
    seed: int = 0,
) -> KnownHeads:
    """Mean shares over `texts` of `length` random tokens said twice, behind `start` if there is one.

    The tokens are drawn without repetition from `ids` (the whole vocabulary), `start` left out. By chance a
    head that looks everywhere has about 1 / (1.5 length). ModelError if the text doesn't fit the model's
    context, or there are not as many ids.
    """
    generator = torch.Generator().manual_seed(seed)
    pool = torch.arange(model.config.vocab_size) if ids is None else torch.as_tensor(ids)
    pool = pool if start is None else pool[pool != start]
    if len(pool) < length:
        raise ModelError(f"{length} different tokens can't be drawn from {len(pool)}")
    before = [] if start is None else [start]
    found = []
    for _ in range(texts):
        drawn_N = pool[torch.randperm(len(pool), generator=generator)[:length]]
        maps_LHTT = attention_maps(
            model, torch.cat([torch.tensor(before, dtype=torch.long), drawn_N, drawn_N])
        )
        second = np.arange(len(before) + length, len(before) + 2 * length)
        later = np.arange(1, maps_LHTT.shape[2])
        found.append(
            [
                maps_LHTT[:, :, rows, columns].mean(-1)
                for rows, columns in (
                    (second, second - length + 1),
                    (second, second - length),
                    (later, later - 1),
                    (later, np.zeros_like(later)),
                )
            ]
        )
    induction, duplicate, previous, first = np.array(found).mean(0, dtype=np.float64).astype(np.float32)
    return KnownHeads(induction, duplicate, previous, first)
