"""How good a reward model's preferences are: how often right, and as often as it says?

Legend: `P` pairs.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from shizuku.errors import ConfigError
from shizuku.evaluation.bootstrap import Estimate, bootstrap
from shizuku.evaluation.calibration import BINS, Bin, calibration_error, reliability


@dataclass(frozen=True, slots=True)
class Judgement:
    """What held-out pairs say of a reward model."""

    accuracy: Estimate
    """Share of the pairs whose chosen answer gets the higher reward, ties as half, with its interval."""
    loss: float
    """Mean of -log sigmoid(margin), in nats; log 2 = 0.693 knows nothing."""
    margin: Estimate
    """Mean of reward of the chosen less that of the rejected answer."""
    calibration_error: float
    """Mean distance of stated and observed shares over the bins, weighed by their pairs (ECE)."""
    bins: tuple[Bin, ...]
    """Bins that have pairs, from unsure to sure."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "accuracy": self.accuracy.mean,
            "accuracy_interval": [self.accuracy.low, self.accuracy.high],
            "heldout_loss": self.loss,
            "margin": self.margin.mean,
            "calibration_error": self.calibration_error,
            "calibration": [asdict(each) for each in self.bins],
        }


def judge_margins(margins: Sequence[float] | np.ndarray, *, bins: int = BINS) -> Judgement:
    """Judge by the margins, reward of the chosen less that of the rejected answer, of held-out pairs.

    ConfigError without pairs, and for margins that are NaN or infinite.
    """
    margins_P = np.asarray(margins, dtype=np.float64)
    if margins_P.ndim != 1 or not len(margins_P) or not np.isfinite(margins_P).all():
        raise ConfigError("a reward model is judged by finite margins of one or more held-out pairs")
    right_P = (margins_P > 0) + 0.5 * (margins_P == 0)
    table = reliability(1 / (1 + np.exp(-np.abs(margins_P))), right_P, bins=bins, low=0.5)
    return Judgement(
        accuracy=bootstrap(right_P),
        loss=float(np.logaddexp(0, -margins_P).mean()),
        margin=bootstrap(margins_P),
        calibration_error=calibration_error(table),
        bins=table,
    )
