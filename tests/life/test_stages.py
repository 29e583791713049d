"""Stages: budgets, records, and a resumed life that does nothing twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from shizuku.errors import ConfigError
from shizuku.life import making
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
        ({"threads": 0}, "--threads 0: expected a whole number from 1 to 1024"),
        ({"threads": 5000}, "--threads 5000"),
        ({"seed": -1}, "--seed -1: expected a whole number from 0"),
        ({"seed": 2**63}, "--seed 9223372036854775808"),
        ({"watts": -1.0}, "--watts -1.0: expected a number >= 0"),
        ({"price_per_hour": float("nan")}, "--price-per-hour nan"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        LifeConfig(**settings)
    assert message in str(caught.value)


def test_an_error_before_training_leaves_nothing_to_resume(tmp_path: Path) -> None:
    def mistyped() -> dict[str, Any]:
        raise ConfigError("no such text")

    stages = Stages(tmp_path, {"text": "typo"}, resume=False)
    stages.run("gather", 1, dict)
    with pytest.raises(ConfigError, match="no such text"):
        stages.run("clean", 1, mistyped)
    begun = Stages(tmp_path, {"text": "right"}, resume=False)
    assert begun.run("gather", 1, lambda: {"anew": True}) == {"anew": True}
    with pytest.raises(ConfigError, match="no such text"):
        begun.run("train", 1, mistyped)
    with pytest.raises(ConfigError, match="a life is there already"):
        Stages(tmp_path, {"text": "right"}, resume=False)


def test_a_place_that_can_be_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--out .*file cannot be made a folder .*choose another place"):
        Stages(tmp_path / "file", {}, resume=False)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (5000, "--context 5000: the training text allows at most 999"),
        (900, "would need .*available: lower it"),
    ],
)
def test_a_window_that_cannot_be_trained_is_refused_before_it_is_timed(
    context: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "available_memory", lambda: 1000)
    with pytest.raises(ConfigError, match=message):
        making.choose_size(LifeConfig(context=context), {"train_tokens": 1000, "vocab_size": 300}, seconds=5)
