"""`shizuku list`: what is here, what other tools have, what can be pulled."""

import json
from pathlib import Path

import pytest

from shizuku import cli


@pytest.fixture(autouse=True)
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHIZUKU_HOME", str(tmp_path / "home"))
    for name in (
        "OLLAMA_MODELS",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "XDG_CACHE_HOME",
        "LLAMA_CACHE",
    ):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def pulled(home: Path, name: str) -> Path:
    folder = home / "models" / name
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(b"GGUF")
    record = {
        "name": name,
        "file": "model.gguf",
        "bytes": 4,
        "what": "a model",
        "licence": "MIT",
        "files": {"model.gguf": {"bytes": 4}},
    }
    (folder / "model.json").write_text(json.dumps(record))
    return folder


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    assert cli.run(["list", "--json"]) == 0
    return {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}


def test_on_a_fresh_machine_it_shows_what_can_be_pulled(
    capsys: pytest.CaptureFixture[str], disk: Path
) -> None:
    models = listed(capsys)
    assert set(models) == {"smollm2-135m-instruct", "gemma-3-270m", "all-minilm-l6-v2"}
    assert all(model["source"] == "can be pulled" and model["path"] is None for model in models.values())
    assert not (disk / "home").exists(), "looking makes nothing"


def test_pulled_and_found_models_come_first(capsys: pytest.CaptureFixture[str], disk: Path) -> None:
    folder = pulled(disk / "home", "smollm2-135m-instruct")
    file = disk / ".lmstudio" / "models" / "someone" / "theirs.gguf"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"GGUF")
    models = listed(capsys)
    assert [(name, model["source"]) for name, model in models.items()] == [
        ("smollm2-135m-instruct", "pulled"),
        ("lmstudio:someone/theirs", "LM Studio"),
        ("gemma-3-270m", "can be pulled"),
        ("all-minilm-l6-v2", "can be pulled"),
    ]
    assert models["smollm2-135m-instruct"]["path"] == str(folder / "model.gguf")
    assert models["lmstudio:someone/theirs"]["bytes"] == 4


def test_the_table_shows_names_whole(
    capsys: pytest.CaptureFixture[str], disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    pulled(disk / "home", "smollm2-135m-instruct")
    assert cli.run(["list"]) == 0
    shown = capsys.readouterr().out
    assert "smollm2-135m-instruct" in shown and "4 bytes" in shown and "a model, MIT" in shown
    assert "gemma-3-270m" in shown and "238 MB" in shown


def test_a_damaged_model_does_not_hide_the_others(capsys: pytest.CaptureFixture[str], disk: Path) -> None:
    pulled(disk / "home", "good")
    (pulled(disk / "home", "cut") / "model.gguf").write_bytes(b"GG")
    (pulled(disk / "home", "broken") / "model.json").write_text("{")
    assert cli.run(["list", "--json"]) == 0
    out, err = capsys.readouterr()
    names = [model["name"] for model in json.loads(out)["models"]]
    assert "good" in names and "cut" not in names and "broken" not in names
    assert "model.gguf is damaged: it has 2 bytes, expected 4: pull cut again" in " ".join(err.split())
    assert "broken/model.json is damaged" in err


def test_it_answers_without_torch() -> None:
    import subprocess
    import sys

    code = "from shizuku import cli; import sys; cli.run(['list', '--json']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
