"""How well vectors find the text that belongs to another, among others, with intervals.

Legend: `N` pairs, `D` width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from shizuku.errors import ConfigError
from shizuku.evaluation.bootstrap import Estimate, bootstrap

AT_ONCE = 4096
"""Texts that look at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """What vectors of pairs say."""

    recall: Estimate
    """Share of the texts whose own text is the nearest: recall at 1."""
    reciprocal_rank: Estimate
    """Mean of 1 / rank of the own text (MRR)."""
    ranks_N: Int[np.ndarray, "N"]
    """The rank of each text's own text, 1 = the nearest."""


def judge_retrieval(
    asking_ND: Float[np.ndarray, "N D"], found_ND: Float[np.ndarray, "N D"], keys: Sequence[object]
) -> Retrieval:
    """Where the own vector, in the same row, stands among all of `found_ND` by its product with the asking
    one.

    `keys` tell the texts of `found_ND`: the same text a second time is no other text. Ties count against the
    own one, so that vectors that are all alike find nothing. ConfigError for fewer than two pairs.
    """
    if len(asking_ND) < 2 or asking_ND.shape != found_ND.shape or len(keys) != len(found_ND):
        raise ConfigError(
            f"looking for texts needs a vector for both texts of two or more pairs, found {asking_ND.shape} "
            f"and {found_ND.shape}"
        )
    known: dict[object, int] = {}
    keys_N = np.array([known.setdefault(key, len(known)) for key in keys])
    ranks_N = np.empty(len(keys), dtype=np.int64)
    for first in range(0, len(keys), AT_ONCE):
        here = slice(first, first + AT_ONCE)
        scores_QN = asking_ND[here].astype(np.float64) @ found_ND.T.astype(np.float64)
        own_Q1 = np.take_along_axis(scores_QN, np.arange(len(keys))[here, None], axis=1)
        others_QN = keys_N[here, None] != keys_N
        ranks_N[here] = 1 + ((scores_QN >= own_Q1) & others_QN).sum(1)
    return Retrieval(bootstrap((ranks_N == 1).astype(float)), bootstrap(1 / ranks_N), ranks_N)


def gain(before: Retrieval, after: Retrieval) -> Estimate:
    """By how much recall at 1 has risen on the same pairs, with the interval of the paired difference."""
    return bootstrap((after.ranks_N == 1).astype(float) - (before.ranks_N == 1).astype(float))
