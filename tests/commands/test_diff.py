"""`--seeds` and `shizuku diff`: several runs, and what differs between two."""

import json
import math
from pathlib import Path

import pytest

from shizuku import cli
from shizuku.training.seeds import Interval

SMALL = (
    *("--preset", "micro", "--vocab-size", "275", "--model.context", "16", "--batch-size", "4"),
    *("--threads", "1", "--steps", "12", "--validation", "0.2", "--json"),
)


def shizuku(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = cli.run([str(word) for word in words])
    printed = capsys.readouterr()
    return code, printed.out, " ".join(printed.err.split())


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for number in range(20):
        (folder / f"{number}.txt").write_text(f"{number} drops of rain fall on house {number}. " * 20)
    return folder


def test_an_interval_over_seeds() -> None:
    found = Interval.of([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.high - 2.0 == pytest.approx(2.0 - found.low) == pytest.approx(4.303 / math.sqrt(3), rel=1e-3)
    assert math.isnan(Interval.of([1.0]).low)
    with pytest.raises(ValueError, match="at least one"):
        Interval.of([])


def test_three_seeds_and_what_differs(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    code, out, err = shizuku(capsys, "train", "--text", text, "--out", runs, "--seeds", 3, *SMALL)
    assert code == 0, err
    result = json.loads(out)
    values = result["intervals"]["validation_loss"]["values"]
    assert len(set(values)) == 3, "each seed is a run of its own"
    assert result["validation_loss"] == pytest.approx(sum(values) / 3)
    assert result["tokens_seen"] == 3 * 12 * 4 * 16
    assert [Path(place).name for place in result["checkpoints"]] == ["seed-0", "seed-1", "seed-2"]

    alone = tmp_path / "alone"
    code, out, err = shizuku(capsys, "train", "--text", text, "--out", alone, "--seed", 1, *SMALL)
    assert json.loads(out)["validation_loss"] == values[1], "a seed's run is what it is alone"

    code, out, err = shizuku(capsys, "diff", alone, runs / "seed-1", "--json")
    same = json.loads(out)
    assert same["same_weights"] and same["losses_differ_at_step"] is None
    assert same["config"] == {} and same["data"] == {}

    code, out, err = shizuku(capsys, "diff", runs / "seed-0", runs / "seed-1", "--json")
    found = json.loads(out)
    assert found["config"] == {"loop.seed": [0, 1]} and found["data"] == {}, "all seeds read the same text"
    assert found["result"]["validation_loss"] == values[:2]
    assert not found["same_weights"] and found["losses_differ_at_step"] == 1

    code, out, err = shizuku(capsys, "diff", runs / "seed-0", runs / "seed-1")
    assert code == 0 and "loop.seed" in out and "data: the same" in out
    code, out, err = shizuku(capsys, "diff", runs, runs / "seed-0", "--json")
    assert json.loads(out)["config"] == {"seeds": [3, 1]}


def test_seeds_that_were_broken_off_go_on(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from shizuku.training import from_text

    train, runs = from_text.train, []

    def broken(*arguments: object, **named: object) -> object:
        runs.append(named["out"])
        if len(runs) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **named)  # type: ignore[arg-type]

    command = ("train", "--text", text, "--out", tmp_path / "m", "--seeds", 2, *SMALL)
    monkeypatch.setattr(from_text, "train", broken)
    with pytest.raises(KeyboardInterrupt):
        cli.run([str(word) for word in command])
    assert "--resume" in capsys.readouterr().err
    before = (tmp_path / "m" / "seed-0" / "model.safetensors").read_bytes()
    code, out, err = shizuku(capsys, *command, "--resume")
    assert code == 0 and len(json.loads(out)["intervals"]["loss"]["values"]) == 2, err
    assert (tmp_path / "m" / "seed-0" / "model.safetensors").read_bytes() == before


def test_what_has_no_record_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = shizuku(capsys, "diff", tmp_path / "nothing", tmp_path)
    assert code == 2 and "nothing" in err
