"""The hidden Markov model of alignments (Vogel et al. 1996): where a word comes from depends on where the one
before it came from. Nothing here needs torch.

What came from NULL leaves the place as it was (Och and Ney 2003); the first word jumps from before the
sentence.

Legend: `B` sentences of one shape, `I` source words, `J` target words, `M` = I + 1 places before a jump, the
first of them before the sentence, `W` widths of jumps.
"""

from dataclasses import dataclass

import numpy as np

LEAST = 1e-12
"""Of a jump's weight, so that none is impossible because training had none."""


@dataclass(frozen=True, slots=True, eq=False)
class Jumps:
    """How likely jumps are, by their width."""

    weight_W: np.ndarray
    """float64: of the widths from -(W // 2) to W // 2; larger ones count as these. A chance is a weight by
    the sum of the weights of all places that a sentence has.
    """
    null_share: float
    """The chance that a word comes from NULL."""

    @classmethod
    def even(cls, reach: int, null_share: float) -> "Jumps":
        """All jumps of at most `reach` words alike."""
        return cls(np.ones(2 * reach + 1), null_share)

    def column(self, sources: int) -> np.ndarray:
        """Where in `weight_W` the jump from each place to each source word stands, [M, I]."""
        reach = len(self.weight_W) // 2
        width_MI = np.arange(sources)[None] - np.arange(-1, sources)[:, None]
        found: np.ndarray = np.clip(width_MI, -reach, reach) + reach
        return found

    def chances(self, sources: int) -> np.ndarray:
        """The chance to jump from each place to each of so many source words, [M, I]; rows add up to one."""
        weight_MI = np.maximum(self.weight_W, LEAST)[self.column(sources)]
        return weight_MI / weight_MI.sum(1, keepdims=True)


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """What a pass forwards and one backwards say of sentences of one shape."""

    logprob_B: np.ndarray
    """Log-probability of each sentence's target words, in nats."""
    share_BJI: np.ndarray
    """How much of each target word comes from each source word; the first is NULL."""
    moved_MI: np.ndarray
    """How many jumps there were from each place to each source word, in all sentences."""


def passed(translation_BJI: np.ndarray, jumps: Jumps) -> Passed:
    """Go through all alignments of sentences, given t(target | source) [B, J, I + 1], NULL's first.

    A word that nothing makes would make everything impossible: its row is to be filled by the caller.
    """
    batch, targets, columns = translation_BJI.shape
    jump_MI = jumps.chances(columns - 1)
    null_share = min(jumps.null_share, 1 - LEAST)  # however sure of NULL, a word is never impossible
    null_BJ1 = translation_BJI[:, :, :1] * null_share
    words_BJI = translation_BJI[:, :, 1:] * (1 - null_share)
    at_BM = np.zeros((batch, columns))
    at_BM[:, 0] = 1.0
    before, stayed, sums = [], [], []  # at each word: where it jumps from, and that it stays there by NULL
    for j in range(targets):
        before.append(at_BM)
        stay_BM = at_BM * null_BJ1[:, j]
        at_BM = stay_BM.copy()
        at_BM[:, 1:] += (before[-1] @ jump_MI) * words_BJI[:, j]
        sums.append(at_BM.sum(1, keepdims=True))
        at_BM /= sums[-1]
        stayed.append(stay_BM / sums[-1])
    share_BJI = np.empty_like(translation_BJI)
    moved_MI = np.zeros_like(jump_MI)
    later_BM = np.ones((batch, columns))
    for j in reversed(range(targets)):
        reached_BI = words_BJI[:, j] * later_BM[:, 1:] / sums[j]
        share_BJI[:, j, 0] = (stayed[j] * later_BM).sum(1)
        share_BJI[:, j, 1:] = (before[j] @ jump_MI) * reached_BI
        moved_MI += (before[j].T @ reached_BI) * jump_MI
        later_BM = reached_BI @ jump_MI.T + null_BJ1[:, j] * later_BM / sums[j]
    logprob_B = np.log(np.concatenate(sums, 1)).sum(1)
    return Passed(logprob_B, share_BJI, moved_MI)
