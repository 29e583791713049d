"""`shizuku export`: what is written loads again, here and elsewhere."""

import json
from pathlib import Path

import pytest
import torch

from shizuku import cli
from shizuku.checkpoints.directory import load_checkpoint, save_checkpoint
from shizuku.models.decoder import Decoder, DecoderConfig
from small_models import small_model, small_tokenizer

IDS = torch.arange(24).reshape(2, 12) * 7 % 290


def exported(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, object]:
    assert cli.run(["export", *map(str, arguments), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(
    ("kind", "worst"),
    [("f32", 0.0), ("f16", 3e-4), ("bf16", 2.4e-3), ("q8_0", 7e-3), ("q4_0", 0.12), ("q4_1", 0.1)],
)
def test_gguf(
    kind: str, worst: float, small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made" / f"{kind}.gguf"
    told = exported(capsys, small_checkpoint, "--format", "gguf", "--type", kind, "--out", out)
    assert told["bytes"] == out.stat().st_size and told["path"] == str(out)
    found = load_checkpoint(out)
    weights = found.model.state_dict()
    for name, tensor in small_model().state_dict().items():
        error = (weights[name] - tensor).norm() / tensor.norm()
        assert error <= worst, name
        if tensor.dim() == 2 and "embedding" not in name:
            assert error >= worst / 10, f"{name} is stored more exactly than {kind}"
    assert found.tokenizer is not None
    text = "the rain in the town"
    assert found.tokenizer.encode(text) == small_tokenizer().encode(text)
    assert [path.name for path in out.parent.iterdir()] == [out.name], "nothing else is left there"


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16"])
def test_hugging_face(kind: str, gguf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    transformers = pytest.importorskip("transformers")
    told = exported(capsys, gguf, "--format", "hf", "--type", kind, "--out", tmp_path / "hf")
    assert told["bytes"] == sum(file.stat().st_size for file in (tmp_path / "hf").iterdir())
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32).eval()
    again = load_checkpoint(tmp_path / "hf").model
    with torch.no_grad():
        logits = load_checkpoint(gguf).model(IDS)
        assert (theirs(IDS).logits - again(IDS)).abs().max() < 2e-5 * logits.std()
        rounding = (theirs(IDS).logits - logits).abs().max() / logits.std()
    assert (
        {"f32": 0, "f16": 5e-4, "bf16": 4e-3}[kind]
        <= rounding
        < {"f32": 2e-5, "f16": 0.03, "bf16": 0.24}[kind]
    )
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert config["dtype"] == {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}[kind]
    # "One float16 is 16 bits, 2 bytes": the article's sum, beside a header of names and shapes.
    width = {"f32": 4, "f16": 2, "bf16": 2}[kind]
    parameters = sum(parameter.numel() for parameter in load_checkpoint(gguf).model.parameters())
    weights = (tmp_path / "hf" / "model.safetensors").read_bytes()
    assert len(weights) == 8 + int.from_bytes(weights[:8], "little") + width * parameters
    for name, tensor in load_checkpoint(gguf).model.state_dict().items():
        stored = tensor.to({"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[kind])
        assert again.state_dict()[name].dtype == torch.float32
        assert torch.equal(again.state_dict()[name], stored.float()), name
    run = json.loads((tmp_path / "hf" / "run.json").read_text())
    assert run["parent"]["name"] == str(gguf) and len(run["parent"]["digest"]) == 64


def test_an_export_again_replaces_the_file(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.gguf"
    large = exported(capsys, small_checkpoint, "--format", "gguf", "--out", out)["bytes"]
    small = exported(capsys, small_checkpoint, "--format", "gguf", "--type", "q4_0", "--out", out)["bytes"]
    assert small == out.stat().st_size < large  # type: ignore[operator]


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert cli.run(["export", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_what_cannot_be_written(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="2"):
        cli.run(["export", "m", "--format", "hf", "--type", "q4_0", "--out", "x"])
    assert "--type q4_0 is a type of GGUF's: choose f32, f16 or bf16" in " ".join(
        capsys.readouterr().err.split()
    )
    cases = [
        (["--format", "gguf", "--out", tmp_path], f"is one file: give {tmp_path / 'model.gguf'}"),
        (["--format", "hf", "--out", small_checkpoint], "is the model itself: give another place"),
        (["--format", "hf", "--out", tmp_path / "file"], "file is a file; a checkpoint is a directory"),
        (
            ["--format", "gguf", "--out", tmp_path / "file" / "x.gguf"],
            f"cannot write {tmp_path / 'file' / 'x.gguf'}: ",
        ),
    ]
    for arguments, message in cases:
        assert message in refused(capsys, small_checkpoint, *arguments)
    assert "does not exist" in refused(capsys, tmp_path / "no", "--format", "hf", "--out", tmp_path / "x")


def test_what_float16_cannot_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = small_model()
    with torch.no_grad():
        model.final_norm.weight[0] = 1e5
    path = save_checkpoint(tmp_path / "model", model=model)
    for form in ("hf", "gguf"):
        message = refused(capsys, path, "--format", form, "--type", "f16", "--out", tmp_path / "out")
        assert "final_norm.weight holds 100000, more than float16 can (65504): choose --type f32" in message
    assert not (tmp_path / "out").exists()


def test_a_model_that_no_other_library_has_is_not_written_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = DecoderConfig(
        vocab_size=64,
        context=16,
        width=16,
        layers=1,
        heads=2,
        ffn_width=32,
        activation="relu2",
        positions="none",
    )
    save_checkpoint(tmp_path / "own", model=Decoder(config))
    assert cli.run(["export", str(tmp_path / "own"), "--format", "hf", "--out", str(tmp_path / "hf")]) == 2
    assert "no architecture of Hugging Face's has exactly its mechanisms" in capsys.readouterr().err
    assert not (tmp_path / "hf").exists()
