"""`shizuku show`: a model from its headers."""

import json
import shutil
from pathlib import Path

import pytest

from shizuku import cli
from shizuku.models.decoder import parameter_count
from small_models import small_model, small_tokenizer


def shown(capsys: pytest.CaptureFixture[str], model: Path | str) -> dict[str, object]:
    assert cli.run(["show", str(model), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_a_checkpoint(small_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = shown(capsys, small_checkpoint)
    parameters = parameter_count(small_model())
    assert (told["kind"], told["architecture"], told["parameters"]) == ("shizuku", "llama", parameters)
    assert told["types"] == {"F32": parameters}
    assert told["bytes"] == (small_checkpoint / "model.safetensors").stat().st_size
    assert told["tokenizer"] == {
        "kind": "BPE",
        "vocab_size": small_tokenizer().vocab_size,
        "chat_template": True,
    }
    assert told["run"]["config"] == {"steps": 3} and told["run"]["metrics"] == {"loss": 1.5}  # type: ignore[index]
    assert told["config"]["num_key_value_heads"] == 2  # type: ignore[index]


def test_a_gguf_file(gguf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = shown(capsys, gguf)
    assert (told["kind"], told["architecture"]) == ("gguf", "llama")
    assert told["parameters"] == parameter_count(small_model())
    assert told["types"]["Q8_0"] > 0.9 * told["parameters"]  # type: ignore[index]
    assert told["tokenizer"]["vocab_size"] == small_model().config.vocab_size, "padded to the model's"  # type: ignore[index]
    assert told["config"]["tokenizer.ggml.tokens"] == "[400 values]", "the vocabulary itself is not printed"  # type: ignore[index]


def test_what_people_read(small_checkpoint: Path, gguf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["show", str(small_checkpoint)]) == 0
    text = capsys.readouterr().out
    for part in ("a checkpoint of Shizuku's", "F32 100.0%", "290 ids, with a chat template", "'loss': 1.5"):
        assert part in text
    assert cli.run(["show", str(gguf)]) == 0
    assert "GGUF" in capsys.readouterr().out


def test_weights_are_not_read(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small_checkpoint, copy)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-400:] = b"\xff" * 400
    (copy / "model.safetensors").write_bytes(weights)
    assert shown(capsys, copy)["parameters"] == parameter_count(small_model())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("./nowhere", "nowhere does not exist; expected a checkpoint directory"),
        (
            "smollm2-135m-instruct",
            "smollm2-135m-instruct is not here yet: shizuku pull smollm2-135m-instruct",
        ),
        ("org/name", "as a Hugging Face id it is not here yet: shizuku pull org/name"),
    ],
)
def test_nothing_is_pulled_to_be_shown(
    model: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHIZUKU_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert cli.run(["show", model]) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_header_is_named(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small_checkpoint, copy)
    (copy / "model.safetensors").write_bytes(b"\x00" * 20)
    assert cli.run(["show", str(copy)]) == 2
    assert f"{copy / 'model.safetensors'} is damaged or no safetensors file" in capsys.readouterr().err
