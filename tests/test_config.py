"""The config tree: strict reading, files, and flags on top of files."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from shizuku import cli, config
from shizuku.config import VerbConfig
from shizuku.errors import ConfigError
from shizuku.training.config import LoopConfig, TrainConfig
from shizuku.tuning.config import ADAPTER_RATE, TuneConfig, tuning_loop


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    rate: float = 0.1
    """A rate."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Two numbers."""

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ConfigError(f"--inner.rate: expected a positive number, found {self.rate}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer(VerbConfig):
    """An example."""

    out: Path
    """Where."""
    kind: Literal["a", "b"] = "a"
    """Which."""
    steps: int | None = None
    """How many."""
    names: tuple[str, ...] = ()
    """Some names."""
    inner: Inner = field(default_factory=Inner)


def test_round_trip_through_toml_and_json(tmp_path: Path) -> None:
    original = Outer(
        out=Path("x"), kind="b", steps=3, names=("p", "q"), inner=Inner(rate=2, betas=(0.5, 0.6))
    )
    config.save(original, tmp_path / "c.toml")
    (tmp_path / "c.json").write_text(json.dumps(config.to_dict(original)))
    (tmp_path / "run.json").write_text(json.dumps({"config": config.to_dict(original), "metrics": {}}))
    for name in ("c.toml", "c.json", "run.json"):
        assert config.load(Outer, tmp_path / name) == original


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"out": "x", "kindd": "a"}, "unknown setting kindd; did you mean kind?"),
        ({"out": "x", "inner": {"rat": 1}}, "unknown setting inner.rat; did you mean rate?"),
        ({"out": "x", "steps": "many"}, "steps: expected int, found str 'many'"),
        ({"out": "x", "steps": True}, "steps: expected int, found bool True"),
        ({"out": "x", "kind": "c"}, "kind: expected one of 'a', 'b', found 'c'"),
        ({"out": "x", "inner": {"betas": [1]}}, "inner.betas: expected 2 values, found 1"),
        ({"out": "x", "inner": {"rate": -1}}, "--inner.rate: expected a positive number"),
        ({"kind": "a"}, "missing out"),
    ],
)
def test_bad_settings_are_named(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.from_dict(Outer, table)
    assert message in str(caught.value)


def test_flags_stand_above_files_and_later_files_above_earlier(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text('out = "from-file"\nsteps = 1\n[inner]\nrate = 0.5\n')
    (tmp_path / "two.toml").write_text("steps = 2\n")
    files = ["--config", str(tmp_path / "one.toml"), f"--config={tmp_path / 'two.toml'}"]
    parsed = cli.parse(Outer, "example", [*files, "--inner.betas", "0.1", "0.2", "--kind", "b"])
    assert parsed == Outer(out=Path("from-file"), steps=2, kind="b", inner=Inner(rate=0.5, betas=(0.1, 0.2)))
    required_left_open = cli.parse(
        Outer, "example", ["--config", str(tmp_path / "two.toml"), "--out", "flag"]
    )
    assert required_left_open.out == Path("flag")


def test_a_broken_config_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("steps = = 1")
    with pytest.raises(ConfigError, match=r"c\.toml: not valid toml"):
        cli.parse(Outer, "example", ["--config", str(tmp_path / "c.toml")])
    with pytest.raises(ConfigError, match="cannot be read"):
        cli.parse(Outer, "example", ["--config", str(tmp_path / "none.toml")])


def test_a_part_of_a_table_changes_that_part_of_what_the_field_begins_with(tmp_path: Path) -> None:
    line = ["m", "--data", "d", "--out", "o"]
    plain, begun = cli.parse(TuneConfig, "tune", line), tuning_loop()
    assert plain.loop == begun and begun != LoopConfig()
    adapted = cli.parse(TuneConfig, "tune", [*line, "--lora.rank", "4"]).loop
    rate = dataclasses.replace(begun.optimizer, learning_rate=ADAPTER_RATE)
    assert adapted == dataclasses.replace(begun, optimizer=rate)
    (tmp_path / "c.toml").write_text("[loop.optimizer]\nlearning-rate = 0.5\n")
    filed = cli.parse(TuneConfig, "tune", [*line, "--config", str(tmp_path / "c.toml")]).loop
    assert filed.optimizer == dataclasses.replace(begun.optimizer, learning_rate=0.5)


def test_a_flag_of_several_values_may_be_given_again(tmp_path: Path) -> None:
    line = [
        "--text",
        "a",
        "b",
        "--out",
        str(tmp_path),
        "--setting=x=1",
        "--text",
        "c",
        "--setting",
        "y=2",
        "z=3",
    ]
    found = cli.parse(TrainConfig, "train", [*line, "--steps", "5", "--steps", "6"])
    assert [str(path) for path in found.text] == ["a", "b", "c"]
    assert found.setting == ("x=1", "y=2", "z=3") and found.loop.steps == 6
