"""Accuracy, loss and calibration of preferences, against sums written out."""

import math

import numpy as np
import pytest

from shizuku.errors import ConfigError
from shizuku.evaluation.calibration import calibration_error, reliability
from shizuku.evaluation.preferences import judge_margins


def test_figures_are_those_of_the_margins() -> None:
    margins = [2.0, -1.0, 0.0, 0.5]
    found = judge_margins(margins)
    assert found.accuracy.mean == (1 + 0 + 0.5 + 1) / 4
    assert found.loss == pytest.approx(np.mean([math.log1p(math.exp(-margin)) for margin in margins]))
    assert found.margin.mean == 0.375
    assert sum(each.items for each in found.bins) == 4
    sure = [1 / (1 + math.exp(-abs(margin))) for margin in margins]
    assert [each.stated for each in found.bins] == pytest.approx(sorted(sure))  # each in a bin of its own
    wrong = [abs(stated - right) for stated, right in zip(sure, (1, 0, 0.5, 1), strict=True)]
    assert found.calibration_error == pytest.approx(np.mean(wrong))
    assert found.to_json()["accuracy_interval"] == [found.accuracy.low, found.accuracy.high]


@pytest.mark.parametrize("factor", [1.0, 4.0])
def test_a_model_that_says_what_is_so_has_no_calibration_error_and_a_boastful_one_has(factor: float) -> None:
    random = np.random.default_rng(0)
    margins = random.normal(size=20_000)
    agreed = random.random(20_000) < 1 / (1 + np.exp(-np.abs(margins)))
    stated = 1 / (1 + np.exp(-factor * np.abs(margins)))
    error = calibration_error(reliability(stated, agreed, low=0.5))
    assert error < 0.01 if factor == 1.0 else error > 0.1


def test_bins_hold_their_lower_edge_and_the_last_one_both() -> None:
    found = reliability(np.array([0.5, 0.75, 1.0]), np.array([1.0, 0.0, 1.0]), bins=2, low=0.5)
    assert [(each.low, each.high, each.items) for each in found] == [(0.5, 0.75, 1), (0.75, 1.0, 2)]
    assert calibration_error(found) == pytest.approx((abs(0.5 - 1) + 2 * abs(0.875 - 0.5)) / 3)


@pytest.mark.parametrize("margins", [[], [float("nan")], [[1.0]]])
def test_no_pairs_and_margins_that_are_not_finite_are_refused(margins: list) -> None:
    with pytest.raises(ConfigError, match="finite margins"):
        judge_margins(margins)
