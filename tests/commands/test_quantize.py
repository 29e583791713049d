"""`shizuku quantize`: the keys of the contract, the report, what the other verbs make of it, and refusals."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from shizuku.checkpoints.directory import checkpoint_digest, load_checkpoint
from shizuku.cli import run
from shizuku.commands.quantize import bytes_of
from shizuku.errors import ConfigError
from shizuku.quantization.surgery import quantized_layers

TEXT = "the rain in the town fell on the roof of the shop. "
FAST = ["--calibration-tokens", "256", "--heldout-tokens", "256"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for number in range(10):
        (folder / f"{number}.txt").write_text(
            f"{TEXT * 4} {number} " + "雨が降る。" * number, encoding="utf-8"
        )
    return folder


def _json(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["quantize", *map(str, arguments), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_it_writes_a_checkpoint_that_the_other_verbs_open(
    small_checkpoint: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "packed"
    found = _json(capsys, small_checkpoint, "--scheme", "gptq3", "--text", text, "--out", out, *FAST)
    for key in ("bytes", "bits_per_weight", "perplexity_before", "perplexity_after", "kl", "seconds"):
        assert found[key] > 0
    assert found["bytes"] == (out / "model.safetensors").stat().st_size
    assert found["perplexity_after"] != found["perplexity_before"]
    assert found["checkpoint"] == str(out)
    loaded = load_checkpoint(out)
    assert {layer.layout.bits for layer in quantized_layers(loaded.model).values()} == {3, 8}
    assert loaded.run["parent"]["digest"] == checkpoint_digest(small_checkpoint)
    assert loaded.run["config"]["scheme"] == "gptq3" and loaded.run["metrics"]["kl"] == found["kl"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "plain rounding" in page and "blocks.1.feedforward.down" in page and "<script" not in page
    assert run(["generate", str(out), "--prompt", "the rain", "-n", "4"]) == 0
    assert run(["eval", str(out), "--text", str(text)]) == 0
    assert run(["show", str(out)]) == 0
    assert "shizuku-quantized" in capsys.readouterr().out
    assert run(["export", str(out), "--format", "gguf", "--out", str(tmp_path / "back.gguf")]) == 0
    ids = torch.arange(20)[None]
    assert torch.equal(load_checkpoint(tmp_path / "back.gguf").model(ids), loaded.model(ids))


def test_the_result_is_shown_and_the_same_twice(
    small_checkpoint: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for name in ("one", "two"):
        arguments = [
            str(small_checkpoint),
            "--method",
            "outlier",
            "--bits",
            "4",
            "--text",
            str(text),
            "--no-curve",
        ]
        assert run(["quantize", *arguments, "--out", str(tmp_path / name), *FAST]) == 0
        files.append((tmp_path / name / "model.safetensors").read_bytes())
    assert files[0] == files[1]
    shown = capsys.readouterr().out
    for part in (
        "outlier 4 bits, groups of 64",
        "0.50% outliers",
        "feedforward.down x 2",
        "KL divergence",
        "+-",
    ):
        assert part in shown


def test_a_target_size_is_kept_and_used(
    small_checkpoint: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {}
    for target in ("24kB", "30KiB"):
        arguments = [
            "--scheme",
            "int4",
            "--group-size",
            "32",
            "--target-bytes",
            target,
            "--text",
            text,
            "--no-curve",
        ]
        found = _json(capsys, small_checkpoint, *arguments, "--out", tmp_path / target, *FAST)
        assert 0.8 * bytes_of(target) < found["bytes"] <= bytes_of(target)
        sizes[target] = found["kl"], {layer["bits"] for layer in found["layers"]}
    assert len(sizes["24kB"][1]) > 1, "different layers have different bits"
    assert sizes["30KiB"][0] < sizes["24kB"][0]
    assert (
        run(["quantize", str(small_checkpoint), "--target-bytes", "5kB", "--out", str(tmp_path / "x")]) == 2
    )
    assert not (tmp_path / "x").exists()


def test_a_dry_run_says_the_size_and_writes_nothing(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: Path
) -> None:
    arguments = [small_checkpoint, "--scheme", "int8", "--out", tmp_path / "packed"]
    planned = _json(capsys, *arguments, "--dry-run")
    assert planned["dry_run"] and not (tmp_path / "packed").exists()
    found = _json(capsys, *arguments, "--text", text, "--no-curve", *FAST)
    assert planned["bytes"] == found["memory_bytes"] < found["bytes"] < found["memory_bytes"] + 8000
    assert run(["quantize", *map(str, arguments), "--dry-run"]) == 0
    assert "rtn 8 bits" in capsys.readouterr().out


def test_without_text_it_says_that_it_takes_the_towns(
    small_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shizuku.commands.quantization_text.TOWN_MEGABYTES", 0.4)
    assert run(["quantize", str(small_checkpoint), "--no-curve", "--out", str(tmp_path / "p"), *FAST]) == 0
    assert "the simulated town's, which this model may know nothing of" in capsys.readouterr().err


def test_an_interrupt_leaves_what_was_there(
    small_checkpoint: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shizuku.commands.quantization_page.Page.write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(
            [
                "quantize",
                str(small_checkpoint),
                "--text",
                str(text),
                "--no-curve",
                "--out",
                str(tmp_path / "p"),
                *FAST,
            ]
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "codebook", "--bits", "8"], "expected 2 to 4 for --method codebook"),
        (["--bits", "4", "--target-bytes", "1MB"], "--bits and --target-bytes both say"),
        (["--target-bytes", "small"], "expected a size such as 60MB"),
        (["--keep", "*.nothing"], "--keep *.nothing: no matrix matches"),
        (["--keep", "*"], "there is nothing to do"),
        (["--table-bits", "16"], "expected 2 to 8, or 32"),
    ],
)
def test_mistakes_are_told(
    small_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    try:
        code = run(["quantize", str(small_checkpoint), "--out", str(tmp_path / "p"), *arguments])
    except SystemExit as error:
        code = error.code
    said = capsys.readouterr()
    assert code == 2 and message in " ".join((said.err + said.out).replace("│", " ").split())


def test_the_model_itself_and_packed_models_are_refused(
    small_checkpoint: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["quantize", str(small_checkpoint), "--out", str(small_checkpoint)]) == 2
    assert "is the model itself" in capsys.readouterr().err
    out = str(tmp_path / "p")
    assert (
        run(["quantize", str(small_checkpoint), "--text", str(text), "--no-curve", "--out", out, *FAST]) == 0
    )
    assert run(["quantize", out, "--out", str(tmp_path / "q")]) == 2
    assert "is quantized already" in capsys.readouterr().err


def test_sizes_are_read_as_people_write_them() -> None:
    assert [bytes_of(t) for t in ("60MB", "60 MB", "60MiB", "60000000", "1.5kB", "60_000", "2GiB")] == [
        60_000_000, 60_000_000, 62_914_560, 60_000_000, 1500, 60_000, 2**31,
    ]  # fmt: skip
    for wrong in ("", "MB", "60XB", "-5MB", "1e6"):
        with pytest.raises(ConfigError, match="expected a size"):
            bytes_of(wrong)
