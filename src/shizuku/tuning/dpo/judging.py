"""What held-out pairs say of a model, before and after, with intervals over the pairs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from shizuku.evaluation.bootstrap import Estimate, bootstrap
from shizuku.tuning.dpo.config import DpoConfig
from shizuku.tuning.dpo.reference import TableScores


@dataclass(frozen=True, slots=True)
class Judged:
    """A model on held-out pairs; each figure with its 95 % interval over the pairs."""

    margin: Estimate
    """Implicit reward of the chosen answer less that of the rejected one."""
    accuracy: Estimate
    """How often that margin is above 0; a tie counts as half."""
    likelier: Estimate
    """How often the chosen answer as a whole is likelier than the rejected one, whatever the reference."""
    likelier_per_token: Estimate
    """The same for log-probabilities a token, which do not favour short answers."""

    def to_json(self, suffix: str) -> dict[str, Any]:
        """Plain values under names that end in `suffix`."""
        named = {
            "accuracy": self.accuracy,
            "likelier": self.likelier,
            "likelier_per_token": self.likelier_per_token,
            "margin": self.margin,
        }
        return {f"{name}_{suffix}": [one.mean, one.low, one.high] for name, one in named.items()}


def judge(scores: TableScores, reference_N2: np.ndarray, config: DpoConfig) -> Judged:
    """The figures of a model with these scores, beside a reference with those."""
    beyond_N2 = scores.logprobs_N2.astype(np.float64) - reference_N2
    if config.averaged:
        beyond_N2 = beyond_N2 / scores.tokens_N2
    margins_N = config.beta * (beyond_N2[:, 0] - beyond_N2[:, 1])
    whole_N2 = scores.logprobs_N2.astype(np.float64)
    each_N2 = whole_N2 / scores.tokens_N2
    return Judged(
        bootstrap(margins_N),
        bootstrap(wins(margins_N)),
        bootstrap(wins(whole_N2[:, 0] - whole_N2[:, 1])),
        bootstrap(wins(each_N2[:, 0] - each_N2[:, 1])),
    )


def wins(differences_N: np.ndarray) -> np.ndarray:
    """1 for a positive difference, half for none, 0 for a negative one."""
    return (np.sign(differences_N) + 1) / 2
