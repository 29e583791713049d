"""How good a classifier is on held-out texts, with intervals.

Legend: `N` texts, `C` labels.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from shizuku.errors import ConfigError
from shizuku.evaluation.bootstrap import DRAWS, Estimate, bootstrap
from shizuku.evaluation.calibration import Bin, calibration_error, reliability


@dataclass(frozen=True, slots=True, eq=False)
class ClassJudgement:
    """What held-out texts say of a classifier."""

    labels: tuple[str, ...]
    """The labels, in the order of rows and columns."""
    confusion_CC: Int[np.ndarray, "C C"]
    """How many texts of each label (rows) were given each label (columns)."""
    accuracy: Estimate
    """Share of the texts that got their label."""
    macro_f1: Estimate
    """Mean over the labels of F1, which a frequent label doesn't rule."""
    calibration_error: float | None
    """Distance of stated and observed shares; None where no probabilities were given."""
    bins: tuple[Bin, ...]
    """Bins that have texts, from unsure to sure."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "accuracy": self.accuracy.mean,
            "accuracy_interval": [self.accuracy.low, self.accuracy.high],
            "macro_f1": self.macro_f1.mean,
            "macro_f1_interval": [self.macro_f1.low, self.macro_f1.high],
            "calibration_error": self.calibration_error,
            "confusion": self.confusion_CC.tolist(),
            "calibration": [asdict(each) for each in self.bins],
        }


def judge_labels(
    truth: Sequence[str],
    given: Sequence[str],
    labels: Sequence[str],
    *,
    confidence: Float[np.ndarray, "N"] | None = None,
    seed: int = 0,
) -> ClassJudgement:
    """Compare the labels `given` to texts with their `truth`; the intervals redraw texts.

    ConfigError without texts.
    """
    if not len(truth) or len(truth) != len(given):
        raise ConfigError(f"a classifier is judged by labels of texts, found {len(truth)} and {len(given)}")
    place = {label: number for number, label in enumerate(labels)}
    confusion_CC = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for one, other in zip(truth, given, strict=True):
        confusion_CC[place[one], place[other]] += 1
    right_N = np.array([one == other for one, other in zip(truth, given, strict=True)], dtype=float)
    bins = () if confidence is None else reliability(np.asarray(confidence), right_N)
    # Texts redrawn with replacement are cells of the table redrawn: their counts are multinomial.
    random, total = np.random.default_rng(seed), len(truth)
    drawn = random.multinomial(total, confusion_CC.ravel() / total, size=DRAWS // 5)
    scores = [macro_f1(table.reshape(confusion_CC.shape)) for table in drawn]
    low, high = np.quantile(scores, (0.025, 0.975))
    return ClassJudgement(
        labels=tuple(labels),
        confusion_CC=confusion_CC,
        accuracy=bootstrap(right_N, seed=seed),
        macro_f1=Estimate(macro_f1(confusion_CC), float(low), float(high), total),
        calibration_error=calibration_error(bins) if bins else None,
        bins=bins,
    )


def macro_f1(confusion_CC: Int[np.ndarray, "C C"]) -> float:
    """Mean over the labels that occur of 2 · right / (given + true); 0 for one that is never given."""
    right_C = np.diag(confusion_CC).astype(float)
    both_C = confusion_CC.sum(0) + confusion_CC.sum(1)
    occurs = both_C > 0
    return float((2 * right_C[occurs] / both_C[occurs]).mean())
