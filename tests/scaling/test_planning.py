"""The plan: it is the best of the ladder, it is timed, and it grows with time and speed."""

import pytest

from shizuku.errors import ConfigError
from shizuku.scaling.laws import CHINCHILLA_REFIT, effective_tokens
from shizuku.scaling.planning import LADDER, Plan, Shape, make_plan


def parameters(shape: Shape) -> int:
    return 12 * shape.layers * shape.width**2 + 4096 * shape.width


def flops(shape: Shape) -> float:
    return 6.0 * parameters(shape)


def plan(seconds: float, *, rate: float = 50e9, unique: int = 10**12) -> tuple[Plan, list[Shape]]:
    timed: list[Shape] = []

    def measure(shape: Shape) -> float:
        timed.append(shape)
        use = min(1.0, 0.3 + shape.width / 512)  # small shapes use the machine less well
        return rate * use / flops(shape)

    made = make_plan(
        seconds=seconds, unique_tokens=unique, parameters=parameters, flops_per_token=flops, measure=measure
    )
    return made, timed


def test_the_chosen_shape_was_timed_and_is_the_best_of_all() -> None:
    made, timed = plan(180)
    assert made.chosen.measured and made.chosen.shape in timed
    assert len(timed) == len(set(timed)) <= 5
    assert made.chosen.predicted_loss == min(c.predicted_loss for c in made.candidates)
    assert len(made.candidates) == len(LADDER)
    assert made.chosen.tokens == int(made.chosen.tokens_per_second * 180)
    assert "tokens a parameter" in made.explain()


def test_more_time_asks_for_a_larger_model_and_little_text_for_a_smaller_share_of_tokens() -> None:
    short, _ = plan(60)
    long, _ = plan(3600)
    assert long.chosen.parameters > short.chosen.parameters
    scarce, _ = plan(3600, unique=2_000_000)
    assert (
        scarce.chosen.parameters > long.chosen.parameters
    )  # repeats are worth little, so compute goes to size
    seen = effective_tokens(scarce.chosen.tokens, 2_000_000)
    assert scarce.chosen.predicted_loss == pytest.approx(
        CHINCHILLA_REFIT.loss(scarce.chosen.parameters, seen)
    )


def test_no_time_is_an_error_that_names_the_flag() -> None:
    with pytest.raises(ConfigError, match="--minutes"):
        plan(0)
