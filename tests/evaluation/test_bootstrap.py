"""Intervals over items: they cover as they promise, and pairs are redrawn together."""

import numpy as np
import pytest

from shizuku.errors import ConfigError
from shizuku.evaluation.bootstrap import bootstrap, bootstrap_ratio


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    inside = 0
    for trial in range(300):
        found = bootstrap(random.random(80) < 0.7, seed=trial, draws=1000)
        inside += found.low <= 0.7 <= found.high
    assert 0.9 <= inside / 300 <= 0.98
    sample = random.normal(2.0, 1.0, 400)
    found = bootstrap(sample)
    assert found.mean == pytest.approx(sample.mean()) and found.items == 400
    assert found.high - found.low == pytest.approx(2 * 1.96 * sample.std() / 20, rel=0.1)


def test_a_ratio_weighs_items_by_their_counts() -> None:
    random = np.random.default_rng(0)
    tokens = random.integers(1, 100, 200)
    found = bootstrap_ratio(2.0 * tokens, tokens)
    assert found.mean == found.low == found.high == 2.0, "every item has the same ratio"
    found = bootstrap_ratio(tokens * random.normal(2.0, 0.5, 200), tokens)
    assert found.low < 2.0 < found.high and found.mean != pytest.approx(np.mean(tokens), rel=0.1)


def test_no_items_or_no_numbers_are_refused() -> None:
    for wrong in ([], [float("nan")], [[1.0, 2.0]]):
        with pytest.raises(ConfigError, match="an interval needs"):
            bootstrap(wrong)
    with pytest.raises(ConfigError, match="a ratio needs"):
        bootstrap_ratio([1.0], [0.0])
