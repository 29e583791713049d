"""Learning rates over a run."""

import pytest

from shizuku.errors import ConfigError
from shizuku.training.config import ScheduleConfig
from shizuku.training.schedules import at_peak, rate_factor


def rates(steps: int = 100, **settings: object) -> list[float]:
    schedule = ScheduleConfig(**settings)  # type: ignore[arg-type]
    return [rate_factor(schedule, step, steps) for step in range(steps)]


def test_wsd_rises_stays_and_falls() -> None:
    values = rates(kind="wsd", warmup=0.1, decay=0.2, final=0.0)
    assert values[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert set(values[10:81]) == {1.0}
    assert values[80:] == pytest.approx([(100 - step) / 20 for step in range(80, 100)])


def test_plans_are_exchangeable_only_while_each_has_its_peak_rate() -> None:
    schedule = ScheduleConfig(kind="wsd", warmup=0.1, decay=0.5)
    assert at_peak(schedule, 20, 100, 60, 200)
    assert not at_peak(schedule, 20, 100, 300), "still warming up by the longer plan"
    assert not at_peak(schedule, 35, 100, 60), "already falling by the shorter one"
    assert not at_peak(ScheduleConfig(kind="cosine", warmup=0.0), 20, 100, 200)
    assert not at_peak(ScheduleConfig(kind="constant"), 100, 100, 200), "a run that is over stays over"


def test_cosine_meets_its_middle_and_its_end() -> None:
    values = rates(kind="cosine", warmup=0.0, final=0.1)
    assert values[0] == 1.0
    assert values[50] == pytest.approx(0.55)
    assert values[-1] == pytest.approx(0.1, abs=1e-3)
    assert values == sorted(values, reverse=True)


def test_constant_stays() -> None:
    assert rates(kind="constant", warmup=0.0) == [1.0] * 100


def test_a_run_of_one_step_has_a_rate() -> None:
    for kind in ("wsd", "cosine", "constant"):
        assert rates(steps=1, kind=kind)[0] > 0


@pytest.mark.parametrize(
    "settings, flag",
    [({"warmup": 1.5}, "--loop.schedule.warmup"), ({"warmup": 0.6, "decay": 0.6}, "--loop.schedule.decay")],
)
def test_impossible_shares_are_refused(settings: dict[str, float], flag: str) -> None:
    with pytest.raises(ConfigError, match=flag):
        ScheduleConfig(**settings)  # type: ignore[arg-type]
