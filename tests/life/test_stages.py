"""Stages: budgets, records, and a resumed life that does nothing twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from shizuku.errors import ConfigError
from shizuku.life.settings import LifeConfig
from shizuku.life.stages import Stages


def test_a_resumed_life_skips_what_is_done_and_repeats_what_was_interrupted(tmp_path: Path) -> None:
    done: list[str] = []

    def work(name: str) -> dict[str, Any]:
        done.append(name)
        if name == "second" and done.count("second") == 1:
            raise KeyboardInterrupt
        return {"name": name}

    first = Stages(tmp_path, {"seed": 1}, resume=False)
    assert first.run("first", 1, lambda: work("first")) == {"name": "first"}
    with pytest.raises(KeyboardInterrupt):
        first.run("second", 1, lambda: work("second"))
    again = Stages(tmp_path, {"seed": 1}, resume=True)
    assert again.run("first", 1, lambda: work("first")) == {"name": "first"}
    assert again.run("second", 1, lambda: work("second")) == {"name": "second"}
    assert done == ["first", "second", "second"]
    assert [name for name, _, _ in again.times] == ["first", "second"]
    assert again.elapsed >= 0


def test_a_life_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    Stages(tmp_path, {"seed": 1}, resume=False)
    with pytest.raises(ConfigError, match="a life is there already; --resume goes on with it"):
        Stages(tmp_path, {"seed": 1}, resume=False)
    with pytest.raises(ConfigError, match=r"begun with other settings \(seed\)"):
        Stages(tmp_path, {"seed": 2}, resume=True)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "life.json").write_text(json.dumps({"config": {}, "stages": {}})[:-3])
    with pytest.raises(ConfigError, match=r"life\.json: damaged"):
        Stages(tmp_path, {}, resume=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"minutes": 0.0}, "--minutes 0.0: expected 0.2 to 10000"),
        ({"text": ()}, "--text: give `town`, `python`, or at least one path"),
        ({"text": ("town", "notes")}, "town stands alone"),
        ({"vocab_size": 10}, "--vocab-size 10: expected at least 300"),
        ({"context": 1}, "--context 1: expected at least 16"),
        ({"heldout_megabytes": 0.0}, "--heldout-megabytes 0.0"),
        ({"threads": 0}, "--threads 0: expected at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        LifeConfig(**settings)
    assert message in str(caught.value)
