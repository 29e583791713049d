"""The compute law, at the numbers of the literature."""

import pytest

from shizuku.errors import ConfigError
from shizuku.scaling.laws import CHINCHILLA_AS_PRINTED, CHINCHILLA_REFIT, effective_tokens

CHINCHILLA_FLOPS = 5.76e23


def test_the_printed_constants_contradict_chinchilla_and_the_refit_does_not() -> None:
    """The article quotes the printed constants: they ask for 93 tokens a parameter, not Chinchilla's 20."""
    parameters, tokens = CHINCHILLA_AS_PRINTED.optimum(CHINCHILLA_FLOPS)
    assert parameters == pytest.approx(32.2e9, rel=0.005)
    assert tokens == pytest.approx(2.98e12, rel=0.005)
    assert tokens / parameters == pytest.approx(93, abs=1)
    parameters, tokens = CHINCHILLA_REFIT.optimum(CHINCHILLA_FLOPS)
    assert parameters == pytest.approx(72.2e9, rel=0.005)
    assert tokens == pytest.approx(1.33e12, rel=0.005)


@pytest.mark.parametrize("flops", [1e13, 1e18, 1e24])
def test_the_closed_form_is_the_minimum_of_the_curve(flops: float) -> None:
    parameters, tokens = CHINCHILLA_REFIT.optimum(flops)
    assert 6 * parameters * tokens == pytest.approx(flops)
    best = CHINCHILLA_REFIT.loss(parameters, tokens)
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert CHINCHILLA_REFIT.loss(parameters * factor, tokens / factor) > best


def test_repeated_tokens_are_worth_less_and_less() -> None:
    assert effective_tokens(0.5e6, 1e6) == 0.5e6
    worth = [effective_tokens(passes * 1e6, 1e6) for passes in (1, 2, 4, 16, 1000)]
    assert worth == sorted(worth)
    assert worth[1] == pytest.approx(1.968e6, rel=0.01)
    assert worth[-1] == pytest.approx(16.39e6, rel=0.001)


def test_sizes_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="positive sizes"):
        CHINCHILLA_REFIT.loss(0, 1)
