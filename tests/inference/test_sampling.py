"""Sampling against distributions made by hand, and against what is drawn."""

import math
from collections import Counter

import numpy as np
import pytest

from shizuku.errors import ConfigError, ModelError
from shizuku.inference.sampling import (
    SamplingConfig,
    adjust,
    best,
    best_tokens,
    choose,
    draw,
    largest,
    log_normalisers,
    narrow,
    penalise_repetition,
    top_p_count,
    uniform_for,
)

PROBABILITIES = [0.40, 0.05, 0.25, 0.20, 0.10]
LOGITS = np.log(np.array(PROBABILITIES, dtype=np.float32))


def kept(logits: np.ndarray, **settings: float) -> list[int]:
    return narrow(logits, SamplingConfig(**settings))[0].tolist()  # type: ignore[arg-type]


def probabilities(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits.astype(np.float64))
    return weights / weights.sum()


def test_temperature_divides_logits() -> None:
    squared = np.array([p**2 for p in PROBABILITIES])
    ids, logits = narrow(LOGITS, SamplingConfig(temperature=0.5))
    assert ids.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(probabilities(logits), squared / squared.sum(), rtol=1e-6)


def test_top_k_keeps_exactly_k_and_the_lower_id_of_equals() -> None:
    assert kept(LOGITS, top_k=2) == [0, 2]
    assert kept(np.array([1.0, 3.0, 2.0, 2.0, 2.0], dtype=np.float32), top_k=3) == [1, 2, 3]
    assert kept(LOGITS, top_k=99) == [0, 1, 2, 3, 4]


def test_the_largest_are_those_of_a_stable_sort() -> None:
    generator = np.random.default_rng(0)
    for size in (1, 2, 50, 3000):
        values = generator.integers(0, 40, size).astype(np.float32)  # many equal ones
        order = np.argsort(-values, kind="stable")
        for count in {1, 2, size // 2 + 1, size, size + 3}:
            assert largest(values, count).tolist() == sorted(order[:count].tolist())


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.3, [0]), (0.41, [0, 2]), (0.64, [0, 2]), (0.66, [0, 2, 3]), (0.96, [0, 1, 2, 3, 4])],
)
def test_top_p_keeps_the_fewest_that_reach_p(p: float, expected: list[int]) -> None:
    assert kept(LOGITS, top_p=p) == expected


def test_top_p_of_a_flat_vocabulary_looks_beyond_the_first_candidates() -> None:
    flat = np.zeros(4096, dtype=np.float32)  # powers of two: the sums are exact
    assert kept(flat, top_p=0.5) == list(range(2048))


def test_top_p_on_large_random_logits_equals_sorting() -> None:
    generator = np.random.default_rng(1)
    for scale in (0.3, 3.0):
        logits = (generator.standard_normal(3000) * scale).astype(np.float32)
        order = np.argsort(-logits, kind="stable")
        cumulative = np.cumsum(probabilities(logits)[order])
        for p in (0.1, 0.5, 0.9, 0.999):
            count = int((cumulative < p).sum()) + 1
            assert top_p_count(logits, p) == count
            assert kept(logits, top_p=p) == sorted(order[:count].tolist())


def test_min_p_is_relative_to_the_best() -> None:
    assert kept(LOGITS, min_p=0.3) == [0, 2, 3]
    assert kept(LOGITS, min_p=1.0) == [0]
    assert kept(LOGITS, min_p=0.0) == [0, 1, 2, 3, 4]


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits_once() -> None:
    logits = np.array([2.0, -1.0, 3.0, 0.5], dtype=np.float32)
    assert penalise_repetition(logits, [0, 1, 0], 2.0).tolist() == [1.0, -2.0, 3.0, 0.5]
    assert logits.tolist() == [2.0, -1.0, 3.0, 0.5], "the input stays as it was"


def test_presence_and_frequency_count_what_was_made_and_not_the_prompt() -> None:
    logits, ids = np.zeros(5, dtype=np.float32), [0, 1, 1, 2, 1, 3, 3]
    both = adjust(logits, SamplingConfig(presence_penalty=0.5, frequency_penalty=0.25), ids, 2)
    assert both.tolist() == [0.0, -1.0, -0.75, -1.0, 0.0]
    assert adjust(logits, SamplingConfig(presence_penalty=0.5), ids, 7).tolist() == [0.0] * 5
    assert logits.tolist() == [0.0] * 5, "the input stays as it was"


def test_a_bias_moves_single_tokens() -> None:
    logits = np.zeros(4, dtype=np.float32)
    assert adjust(logits, SamplingConfig(logit_bias={1: -100.0, 3: 2.5}), [0], 1).tolist() == [
        0,
        -100,
        0,
        2.5,
    ]
    with pytest.raises(ConfigError, match=r"--logit-bias 4: 1\.0: expected token ids from 0 to 3"):
        adjust(logits, SamplingConfig(logit_bias={4: 1.0}), [0], 1)


def test_greedy_takes_the_lowest_of_equal_logits() -> None:
    tied = np.array([0.0, 2.0, 2.0], dtype=np.float32)
    assert best(tied) == 1
    assert choose(tied, SamplingConfig(temperature=0.0), 0.9) == 1


def chi_square(config: SamplingConfig, expected: list[float], draws: int = 20_000) -> float:
    drawn = Counter(choose(LOGITS, config, uniform_for(7, 0, place)) for place in range(draws))
    wanted = np.array(expected) / sum(expected) * draws
    counts = np.array([drawn[token] for token in range(5)], dtype=float)
    assert counts[wanted == 0].sum() == 0
    return float(((counts - wanted) ** 2)[wanted > 0] @ (1 / wanted[wanted > 0]))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SamplingConfig(), PROBABILITIES),
        (SamplingConfig(temperature=0.5), [p**2 for p in PROBABILITIES]),
        (SamplingConfig(temperature=2.0), [p**0.5 for p in PROBABILITIES]),
        (SamplingConfig(top_k=3), [0.40, 0, 0.25, 0.20, 0]),
        (SamplingConfig(top_p=0.64), [0.40, 0, 0.25, 0, 0]),
        (SamplingConfig(min_p=0.2), [0.40, 0, 0.25, 0.20, 0.10]),
    ],
)
def test_draws_follow_the_distribution(config: SamplingConfig, expected: list[float]) -> None:
    # 18.47 is the 99.9th percentile of chi-square with 4 degrees of freedom, the most there are here.
    assert chi_square(config, expected) < 18.47


def test_filters_apply_after_temperature() -> None:
    # At temperature 0.5 the two best carry 0.84 of the mass, at 1 only 0.65.
    assert kept(LOGITS, temperature=0.5, top_p=0.8) == [0, 2]
    assert kept(LOGITS, temperature=1.0, top_p=0.8) == [0, 2, 3]


def test_the_draw_never_takes_an_impossible_token() -> None:
    logits = np.full(5, -np.inf, dtype=np.float32)
    logits[2] = 1.0
    border = [0.0, 0.5, float(np.nextafter(1, 0))]
    assert {draw(logits, uniform) for uniform in border} == {2}
    assert choose(logits, SamplingConfig(top_k=3), 0.999) == 2


def test_a_draw_is_settled_by_seed_index_and_place_alone() -> None:
    keys = [(seed, index, place) for seed in (3, 4) for index in range(20) for place in range(20)]
    first = {key: uniform_for(*key) for key in keys}
    assert {key: uniform_for(*key) for key in reversed(keys)} == first
    assert len(set(first.values())) == len(keys)
    assert all(0 <= number < 1 for number in first.values())


def test_draws_of_neighbouring_places_indices_and_seeds_are_uniform_and_unrelated() -> None:
    for step in ((0, 0, 1), (0, 1, 0), (1, 0, 0)):
        numbers = np.array([uniform_for(*(n * axis for axis in step)) for n in range(20_000)])
        counts = np.histogram(numbers, bins=20, range=(0, 1))[0]
        assert float(((counts - 1000) ** 2 / 1000).sum()) < 43.8, "chi-square, 19 degrees of freedom, 99.9 %"
        assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.03


def test_log_probabilities_and_the_best_tokens() -> None:
    logits = (np.random.default_rng(2).standard_normal((3, 5000)) * 8).astype(np.float32)
    wide = logits.astype(np.float64)
    wanted = wide.max(-1) + np.log(np.exp(wide - wide.max(-1, keepdims=True)).sum(-1))
    np.testing.assert_allclose(log_normalisers(logits), wanted, atol=1e-7)
    assert best_tokens(np.array([-1.0, -2.0, -1.0, -1.0], dtype=np.float32), 1.0, 2) == ((0, -2.0), (2, -2.0))
    assert best_tokens(logits[0], 0.0, 0) == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", 0),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("min_p", -0.5),
        ("repetition_penalty", 0.0),
        ("seed", -1),
        ("presence_penalty", math.nan),
        ("frequency_penalty", math.inf),
    ],
)
def test_bad_settings_name_the_flag_and_the_value(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} {value}: expected"):
        SamplingConfig(**{name: value})  # type: ignore[arg-type]


def test_a_bias_beyond_the_limits_is_an_error() -> None:
    for bias in ({3: 101.0}, {-1: 1.0}):
        with pytest.raises(ConfigError, match=r"--logit-bias .*: expected token ids with numbers from -100"):
            SamplingConfig(logit_bias=bias)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite_are_an_error(bad: float, temperature: float) -> None:
    logits = np.array([0.0, bad, 3.0], dtype=np.float32)
    with pytest.raises(ModelError, match="no token can be chosen"):
        choose(logits, SamplingConfig(temperature=temperature), 0.5)


def test_a_processor_that_forbids_everything_is_an_error() -> None:
    with pytest.raises(ModelError, match="processor"):
        choose(np.full(4, -np.inf, dtype=np.float32), SamplingConfig(), 0.5)


@pytest.mark.parametrize("temperature", [1e-308, 1e-9])
def test_a_temperature_next_to_nothing_takes_the_best(temperature: float) -> None:
    assert SamplingConfig(temperature=temperature).greedy
    assert not SamplingConfig(temperature=1e-5).greedy
