"""The hidden Markov model of alignments, learned: what a bitext says of jumps, and what follows for them.

Legend: as in `shizuku.models.alignment_jumps`; `E` (source word, target word) places of all sentences laid
end to end, NULL's with them; `S` sentences.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shizuku.models.alignment_jumps import LEAST, Jumps, passed

AT_ONCE = 2_000_000
"""Numbers of a table over sentences, target words and source words at most."""
NULL_SHARE = 0.2
"""Where the chance of NULL begins (Och and Ney 2003)."""


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What one pass over a bitext counts."""

    logprob: float
    """Log-probability of all target words, in nats."""
    share_E: np.ndarray
    """How much of each target word comes from each source word."""
    moved: Mapping[int, np.ndarray]
    """Jumps between places, [M, I], by the number of source words."""
    null: float
    """How many target words come from NULL."""


def same_shape(shapes_S2: np.ndarray) -> Iterator[np.ndarray]:
    """The numbers of sentences that have as many source and target words as each other, some at a time."""
    order = np.lexsort((shapes_S2[:, 1], shapes_S2[:, 0]))
    changes = np.flatnonzero(np.any(np.diff(shapes_S2[order], axis=0) != 0, axis=1)) + 1
    for group in np.split(order, changes):
        many = max(1, AT_ONCE // int((shapes_S2[group[0]] + 1).prod()))
        yield from np.split(group, range(many, len(group), many))


def count_jumps(
    translation_E: np.ndarray,
    shapes_S2: np.ndarray,
    groups: Sequence[np.ndarray],
    jumps: Jumps,
    *,
    null: bool,
) -> Counted:
    """Go through all alignments of every sentence; `shapes_S2` has the source and target words of each."""
    columns_S = shapes_S2[:, 0] + null
    starts_S = np.concatenate([[0], np.cumsum(columns_S * shapes_S2[:, 1])[:-1]])
    share_E, logprob, nulls = np.empty_like(translation_E), 0.0, 0.0
    moved: dict[int, np.ndarray] = {}
    for group in groups:
        sources, targets = (int(size) for size in shapes_S2[group[0]])
        place_BE = starts_S[group][:, None] + np.arange((sources + null) * targets)
        translation_BJI = translation_E[place_BE].reshape(len(group), targets, sources + null)
        if not null:
            translation_BJI = np.pad(translation_BJI, ((0, 0), (0, 0), (1, 0)))
        found = passed(translation_BJI, jumps)
        share_E[place_BE] = found.share_BJI[:, :, 0 if null else 1 :].reshape(len(group), -1)
        moved[sources] = moved.get(sources, 0.0) + found.moved_MI
        logprob += float(found.logprob_B.sum())
        nulls += float(found.share_BJI[:, :, 0].sum())
    return Counted(logprob, share_E, moved, nulls)


def learned_jumps(jumps: Jumps, counted: Counted, targets: int) -> Jumps:
    """Weights under which what was counted is likelier, and the share of NULL among so many target words.

    A chance is a weight by the sum of those of all places of the sentence, so that no formula gives the best
    weights; this step (Hunter 2004, of choices by weights) never makes them worse.
    """
    made_W, offered_W = np.zeros_like(jumps.weight_W), np.zeros_like(jumps.weight_W)
    for sources, moved_MI in counted.moved.items():
        column_MI = jumps.column(sources)
        sums_M1 = np.maximum(jumps.weight_W, LEAST)[column_MI].sum(1, keepdims=True)  # as in the chances
        offers_MI = np.broadcast_to(moved_MI.sum(1, keepdims=True) / sums_M1, moved_MI.shape)
        for total_W, more_MI in ((made_W, moved_MI), (offered_W, offers_MI)):
            total_W += np.bincount(column_MI.reshape(-1), more_MI.reshape(-1), len(total_W))
    weight_W = np.where(offered_W > 0, made_W / np.where(offered_W > 0, offered_W, 1.0), jumps.weight_W)
    return Jumps(weight_W / weight_W.max(), counted.null / targets if jumps.null_share else 0.0)
