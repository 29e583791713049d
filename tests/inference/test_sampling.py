"""Sampling against distributions made by hand, and against what is drawn."""

import math

import pytest
import torch

from shizuku.errors import ConfigError, ModelError
from shizuku.inference.sampling import (
    SamplingConfig,
    apply_temperature,
    best,
    choose,
    draw,
    generator_for,
    keep_largest,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    narrow,
    penalise_repetition,
)

PROBABILITIES = [0.40, 0.05, 0.25, 0.20, 0.10]
LOGITS = torch.tensor([PROBABILITIES]).log()


def kept(logits: torch.Tensor) -> list[int]:
    return torch.isfinite(logits[0]).nonzero()[:, 0].tolist()


def test_temperature_divides_logits() -> None:
    squared = torch.tensor([p**2 for p in PROBABILITIES])
    torch.testing.assert_close(apply_temperature(LOGITS, 0.5).softmax(-1)[0], squared / squared.sum())


def test_top_k_keeps_exactly_k_and_the_lower_id_of_equals() -> None:
    assert kept(keep_top_k(LOGITS, 2)) == [0, 2]
    assert kept(keep_top_k(torch.tensor([[1.0, 3.0, 2.0, 2.0, 2.0]]), 3)) == [1, 2, 3]
    assert kept(keep_top_k(LOGITS, 99)) == [0, 1, 2, 3, 4]


def test_keep_largest_counts_each_row_by_itself() -> None:
    result = keep_largest(LOGITS.repeat(3, 1), torch.tensor([1, 2, 5]))
    assert torch.isfinite(result).sum(-1).tolist() == [1, 2, 5]


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.3, [0]), (0.41, [0, 2]), (0.64, [0, 2]), (0.66, [0, 2, 3]), (0.96, [0, 1, 2, 3, 4])],
)
def test_top_p_keeps_the_fewest_that_reach_p(p: float, expected: list[int]) -> None:
    assert kept(keep_top_p(LOGITS, p)) == expected


def test_top_p_of_a_flat_vocabulary_looks_beyond_the_first_candidates() -> None:
    flat = torch.zeros(1, 4096)  # powers of two: the sums are exact
    assert kept(keep_top_p(flat, 0.5)) == list(range(2048))


def test_top_p_on_large_random_logits_equals_sorting() -> None:
    logits = torch.randn(4, 3000, generator=torch.Generator().manual_seed(1)) * 3
    for p in (0.1, 0.5, 0.9, 0.999):
        values, order = logits.double().softmax(-1).sort(dim=-1, descending=True, stable=True)
        wanted = torch.zeros_like(logits, dtype=torch.bool)
        wanted.scatter_(-1, order, values.cumsum(-1) - values < p)
        assert torch.equal(torch.isfinite(keep_top_p(logits, p)), wanted)


def test_min_p_is_relative_to_the_best() -> None:
    assert kept(keep_min_p(LOGITS, 0.3)) == [0, 2, 3]
    assert kept(keep_min_p(LOGITS, 1.0)) == [0]
    assert kept(keep_min_p(LOGITS, 0.0)) == [0, 1, 2, 3, 4]


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits_once() -> None:
    logits = torch.tensor([2.0, -1.0, 3.0, 0.5])
    assert penalise_repetition(logits, [0, 1, 0], 2.0).tolist() == [1.0, -2.0, 3.0, 0.5]
    assert logits.tolist() == [2.0, -1.0, 3.0, 0.5], "the input stays as it was"


def test_greedy_takes_the_lowest_of_equal_logits() -> None:
    assert best(torch.tensor([[0.0, 2.0, 2.0]])).tolist() == [1]
    config = SamplingConfig(temperature=0.0)
    assert choose(torch.tensor([[0.0, 2.0, 2.0]]), config, [generator_for(0, 0)]).tolist() == [1]


def chi_square(config: SamplingConfig, expected: list[float], draws: int = 20_000) -> float:
    generator = generator_for(7, 0)
    rows = LOGITS.repeat(draws, 1)
    counts = torch.bincount(choose(rows, config, [generator] * draws), minlength=5).double()
    wanted = torch.tensor(expected, dtype=torch.float64) / sum(expected) * draws
    assert counts[wanted == 0].sum() == 0
    return float(((counts - wanted) ** 2 / wanted)[wanted > 0].sum())


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
    assert kept(narrow(LOGITS, SamplingConfig(temperature=0.5, top_p=0.8))) == [0, 2]
    assert kept(narrow(LOGITS, SamplingConfig(temperature=1.0, top_p=0.8))) == [0, 2, 3]


def test_the_draw_never_takes_an_impossible_token() -> None:
    logits = torch.full((1, 5), -torch.inf)
    logits[0, 2] = 1.0
    assert draw(logits.repeat(500, 1), [generator_for(0, 0)] * 500).unique().tolist() == [2]


def test_each_prompt_index_has_its_own_reproducible_generator() -> None:
    first = [float(torch.rand(1, generator=generator_for(3, index))) for index in range(50)]
    again = [float(torch.rand(1, generator=generator_for(3, index))) for index in reversed(range(50))]
    assert first == again[::-1]
    assert len(set(first)) == 50
    assert first[0] != float(torch.rand(1, generator=generator_for(4, 0)))


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
    ],
)
def test_bad_settings_name_the_flag_and_the_value(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} {value}: expected"):
        SamplingConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_an_error(bad: float) -> None:
    logits = torch.tensor([[0.0, 1.0], [0.0, bad]])
    with pytest.raises(ModelError, match="row 1 of the batch"):
        choose(logits, SamplingConfig(temperature=0.0), [generator_for(0, 0)] * 2)


def test_a_processor_that_forbids_everything_is_an_error() -> None:
    with pytest.raises(ModelError, match="processor"):
        choose(torch.full((1, 4), -torch.inf), SamplingConfig(), [generator_for(0, 0)])
