"""`shizuku rm`: only what was pulled, and only when it is meant."""

import json
from pathlib import Path

import pytest

from shizuku import cli


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pulled model named `small`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHIZUKU_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "home" / "models" / "small"
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(b"GGUF")
    record = {"name": "small", "file": "model.gguf", "bytes": 4, "files": {"model.gguf": {"bytes": 4}}}
    (folder / "model.json").write_text(json.dumps(record))
    return folder


class Terminal:
    """Standard input with a person at it."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.answer


def test_yes_removes(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["rm", "small", "--yes", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["removed"] and told["path"] == str(model) and told["bytes"] > 4
    assert [path.name for path in model.parent.iterdir()] == [".small.lock"]


@pytest.mark.parametrize(
    ("answer", "kept"), [("y\n", False), ("YES\n", False), ("n\n", True), ("\n", True), ("", True)]
)
def test_it_asks(
    answer: str, kept: bool, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert cli.run(["rm", "small"]) == 0
    out, err = capsys.readouterr()
    assert f"remove {model} (" in err and "[y/N]" in err
    assert model.exists() is kept
    assert out == ("nothing was removed\n" if kept else f"removed {model}\n")


def test_nobody_to_ask(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["rm", "small"]) == 2
    assert "Nobody is there to answer: add --yes" in capsys.readouterr().err
    assert model.exists()


def test_a_damaged_model_can_be_removed(model: Path) -> None:
    (model / "model.json").write_text("{")
    assert cli.run(["rm", "small", "--yes"]) == 0
    assert not model.exists()


def refused(capsys: pytest.CaptureFixture[str], name: str) -> str:
    assert cli.run(["rm", name, "--yes"]) == 2
    return capsys.readouterr().err


def test_everything_else_is_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis").write_text("years")
    assert "mine is a path; only pulled models" in refused(capsys, "mine")
    assert "is a path; only pulled models" in refused(capsys, str(mine))
    assert "no pulled model is called 'smal'; did you mean small? Pulled are: small" in refused(
        capsys, "smal"
    )
    for name in ("..", ".", "../../mine", "small/../../../mine", ".small.lock", ""):
        assert refused(capsys, name)
    studio = tmp_path / ".lmstudio" / "models" / "theirs.gguf"
    studio.parent.mkdir(parents=True)
    studio.write_bytes(b"GGUF")
    assert f"belongs to LM Studio and is not removed here: remove it there, or delete {studio}" in refused(
        capsys, "lmstudio:theirs"
    )
    (model.parent / "linked").symlink_to(mine)
    assert refused(capsys, "linked")
    assert (mine / "thesis").exists() and studio.exists() and model.exists()
