"""`shizuku train`, from text to a checkpoint that others open."""

import json
import os
import random
import signal
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from shizuku import cli
from shizuku.checkpoints.directory import load_checkpoint
from shizuku.config import from_dict
from shizuku.errors import ConfigError
from shizuku.models.architectures import names
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.training import loop
from shizuku.training.config import MAY_CHANGE, LoopConfig, TrainConfig
from shizuku.training.from_text import model_config
from shizuku.training.model_settings import ModelOverrides
from shizuku.training.presets import PRESETS, PresetName
from shizuku.training.step import StepLoss

WORDS = tuple("the cat dog sees a red blue house and runs to old river while rain falls on stones".split())  # noqa: SIM905


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty small files of made-up sentences."""
    folder = tmp_path_factory.mktemp("text")
    chooser = random.Random(0)
    for number in range(40):
        lines = (" ".join(chooser.choices(WORDS, k=12)) + ".\n" for _ in range(12))
        (folder / f"{number:02}.txt").write_text("".join(lines), encoding="utf-8")
    return folder


SMALL = [
    "--preset",
    "micro",
    "--vocab-size",
    "320",
    "--model.context",
    "32",
    "--batch-size",
    "4",
    "--threads",
    "1",
]


def shizuku(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[Any, str, str]:
    try:
        code = cli.run([str(word) for word in words])
    except SystemExit as error:  # what the parser of flags itself refuses
        code = error.code
    printed = capsys.readouterr()
    return code, printed.out, " ".join(printed.err.split())


def train(capsys: pytest.CaptureFixture[str], text: Path, out: Path, *more: object) -> tuple[Any, str, str]:
    return shizuku(capsys, "train", "--text", text, "--out", out, *SMALL, "--json", *more)


def test_the_contract_and_a_checkpoint_that_others_open(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = train(capsys, text, tmp_path / "m", "--steps", 20, "--validation", "0.1")
    assert code == 0, err
    result = json.loads(out)
    assert {"checkpoint", "tokens_seen", "seconds", "tokens_per_second", "loss"} <= result.keys()
    assert result["tokens_seen"] == 20 * 4 * 32 and result["validation_loss"] < 5.5
    loaded = load_checkpoint(result["checkpoint"])
    assert (
        loaded.tokenizer is not None and loaded.tokenizer.decode(loaded.tokenizer.encode("a cat")) == "a cat"
    )
    assert loaded.run["config"]["preset"] == "micro" and loaded.run["data"]["heldout"]["tokens"] > 100
    peers = pytest.importorskip("transformers")
    other = peers.AutoModelForCausalLM.from_pretrained(result["checkpoint"])
    ids = torch.arange(10)[None]
    with torch.no_grad():
        torch.testing.assert_close(other(ids).logits, loaded.model(ids), rtol=1e-4, atol=1e-4)


def test_an_interrupted_run_goes_on_with_the_command_it_prints(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(capsys, text, tmp_path / "whole", "--steps", 12)[0] == 0
    before = loop._Training.step

    def interrupted(self: Any) -> StepLoss:
        result = before(self)
        if self.progress.step == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(loop._Training, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(capsys, text, tmp_path / "m", "--steps", 12, "--resume")
    said = capsys.readouterr().err.replace("\n", "")
    command = said.partition("go on with: shizuku ")[2].split()
    assert command[0] == "train" and command[-1] == "--resume"
    code, out, err = shizuku(capsys, *command)
    assert code == 0, err
    assert json.loads(out)["tokens_seen"] == 12 * 4 * 32
    weights = [load_checkpoint(tmp_path / name).model.state_dict() for name in ("whole", "m")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_tokenizer_can_be_given(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(capsys, text, tmp_path / "a", "--steps", 1)[0] == 0
    code, _, err = train(
        capsys, text, tmp_path / "b", "--steps", 1, "--tokenizer", tmp_path / "a", "--validation", 0
    )
    assert code == 0, err
    first, second = (load_checkpoint(tmp_path / name) for name in "ab")
    assert first.tokenizer is not None and second.tokenizer is not None
    assert first.tokenizer.encode("the old river") == second.tokenizer.encode("the old river")
    assert second.run["metrics"]["validation_loss"] is None


def test_a_dry_run_leaves_nothing(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = train(capsys, text, tmp_path / "m", "--steps", 9, "--dry-run", "--loop.watts", 50)
    assert code == 0, err
    plan = json.loads(out)
    assert plan["tokens"] == 9 * 4 * 32 and plan["steps"] == 9 and plan["kilowatt_hours"] > 0
    with torch.device("meta"):
        made = Decoder(from_dict(DecoderConfig, plan["model"]))
    assert plan["parameters"] == sum(parameter.numel() for parameter in made.parameters())
    assert not (tmp_path / "m").exists()


def test_mistakes_say_what_to_change(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    records = tmp_path / "records.jsonl"
    records.write_text('{"body": "x"}\n')
    (tmp_path / "file").touch()
    cases: dict[str, list[object]] = {
        "--steps and --loop.max-seconds": ["--text", text, "--steps", 3, "--loop.max-seconds", 3],
        "no text in": ["--text", empty],
        "nowhere": ["--text", tmp_path / "nowhere"],
        "heads": ["--text", text, "--preset", "micro", "--model.heads", 5, "--vocab-size", 320],
        "--loop.clip": ["--text", text, "--loop.clip", -1],
        "--validation 0.7": ["--text", text, "--validation", 0.7],
        "a window needs 20001": [
            "--text", text, "--preset", "micro", "--vocab-size", 320, "--context", 20000, "--batch-size", 1,
        ],
        "this run needs about": ["--text", text, "--batch-size", 100_000_000],
        "activations": ["--text", text, "--model.width", 60_000, "--model.layers", 200],
        "Name the text's field with --field": ["--text", records],
        "a vocabulary of 4,096 was asked for": ["--text", records, "--field", "body"],
        "expected a whole number from 0 to": ["--text", text, "--seed", 2**63],
        "--threads 5000": ["--text", text, "-t", 5000],
        "--model.experts-per-token: experts_per_token is 5": [
            "--text", text, "--model.experts", 2, "--model.experts-per-token", 5, "--vocab-size", 320,
        ],
        "--setting layers: layers: expected int, found str 'zwei'": [
            "--text", text, "--architecture", "lstm", "--setting", "layers=zwei", "--vocab-size", 320,
        ],
        "--model.layers: layers is 0": ["--text", text, "--model.layers", 0, "--vocab-size", 320],
        "cannot be made a folder": [
            "--text", text, "--vocab-size", 320, "--out", tmp_path / "file" / "model", "--preset", "micro",
        ],
    }  # fmt: skip
    for number, (message, words) in enumerate(cases.items()):
        code, _, err = shizuku(capsys, "train", "--out", tmp_path / str(number), *words)
        assert code == 2 and message in err, f"{message!r} is not in {err!r}"
    assert train(capsys, text, tmp_path / "m", "--steps", 1)[0] == 0
    code, _, err = train(capsys, text, tmp_path / "m", "--steps", 1)
    assert code == 2 and "holds a run already" in err
    code, _, err = train(capsys, text, tmp_path / "m", "--steps", 1, "--resume", "--validation", "0.2")
    assert code == 2 and "begun with other settings of validation" in err


def test_the_help_names_every_architecture(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.run(["train", "--help"])
    said = capsys.readouterr().out.replace("│", " ")
    kinds = " ".join(said.split()).partition("Kind of model: ")[2].partition(".")[0]
    assert set(kinds.replace(" or ", ", ").split(", ")) == {*names(), "ngram"}


def test_presets_and_overrides_name_real_mechanisms() -> None:
    assert set(PRESETS) == set(get_args(PresetName))
    names = {each.name for each in fields(DecoderConfig)}
    assert set(ModelOverrides.__dataclass_fields__) == names - {"vocab_size"}
    assert set(LoopConfig.__dataclass_fields__) >= MAY_CHANGE
    for preset in PRESETS:
        base = TrainConfig(text=(Path("x"),), out=Path("y"), preset=preset)
        assert model_config(base, 300).vocab_size == 300
    changed = TrainConfig(
        text=(Path("x"),), out=Path("y"),
        model=ModelOverrides(width=96, heads=3, sliding_window=8, sliding_layers=(True, False, True, False)),
    )  # fmt: skip
    made = model_config(changed, 300)
    assert (made.width, made.heads, made.head_width, made.windows) == (96, 3, 32, (8, None, 8, None))
    with pytest.raises(ConfigError):
        model_config(TrainConfig(text=(Path("x"),), out=Path("y"), model=ModelOverrides(heads=7)), 300)


def test_a_place_that_a_checkpoint_may_not_replace_is_refused_before_training(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = train(capsys, text, Path(), "--steps", 2)
    assert code == 2 and "is the current directory" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("changed", [("--batch-size", 8), ("--no-boundaries",), ("--no-zero-outputs",)])
def test_a_resumed_run_keeps_what_decides_the_result(
    changed: tuple[object, ...], text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(capsys, text, tmp_path / "run", "--steps", 2)[0] == 0
    code, _, err = train(capsys, text, tmp_path / "run", "--steps", 2, "--resume", *changed)
    name = str(changed[0]).removeprefix("--no-").removeprefix("--").replace("-", "_")
    assert code == 2 and f"begun with other settings of {name}" in err


def test_a_preset_brings_settings_of_the_run_along_and_flags_go_before_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["--text", "a", "--out", "b"]
    plain = cli.parse(TrainConfig, "train", line)
    brought = cli.parse(TrainConfig, "train", ["--preset", "characters", *line])
    assert (plain.vocabulary, plain.vocab_size, plain.loop.steps) == ("byte-bpe", 4096, None)
    assert (brought.vocabulary, brought.vocab_size, brought.loop.steps) == ("characters", None, 160)
    assert brought.loop.optimizer.learning_rate == plain.loop.optimizer.learning_rate
    changed = cli.parse(TrainConfig, "train", ["--preset=characters", "--steps", "7", *line])
    assert changed.loop.steps == 7 and changed.vocabulary == "characters"
    file = tmp_path / "run.toml"
    file.write_text('preset = "characters"\nvocab_size = 50\n[loop]\nsteps = 9\n', encoding="utf-8")
    filed = cli.parse(TrainConfig, "train", ["--config", str(file), *line])
    assert (filed.vocab_size, filed.loop.steps, filed.batch_size) == (50, 9, brought.batch_size)
    timed = cli.parse(TrainConfig, "train", ["--preset", "characters", "--loop.max-seconds", "60", *line])
    assert (timed.loop.steps, timed.loop.max_seconds, timed.loop.clip) == (None, 60.0, None)
    file.write_text('preset = "characters"\n[loop]\nmax_seconds = 9.0\n', encoding="utf-8")
    assert cli.parse(TrainConfig, "train", ["--config", str(file), *line]).loop.steps is None
    code, _, err = shizuku(capsys, "train", "--preset", "characters", "--vocabulary", "unigram", *line)
    assert code == 2 and "--vocabulary unigram needs a size" in err


def test_the_characters_preset_learns_a_small_text(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    command = ["train", "--preset", "characters", "--text", str(text), "--out", str(out), "--json"]
    assert cli.run([*command, "--dry-run"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert cli.run([*command, "--steps", "60"]) == 0
    result = json.loads(capsys.readouterr().out)
    found = load_checkpoint(out)
    assert found.tokenizer is not None
    sentence = "the cat sees a red house."
    assert len(found.tokenizer.encode(sentence)) == len(sentence), "one token a character"
    assert planned["model"]["vocab_size"] == found.tokenizer.vocab_size
    assert result["validation_loss"] < 1.6, "far below the 2.6 nats of the letters' frequencies"


def test_a_text_too_short_to_hold_anything_out_can_be_gone_on_with(tmp_path: Path, capsys) -> None:
    (tmp_path / "text.txt").write_text("the cat sat on the mat and the dog sat there.", encoding="utf-8")
    for more in ([], ["--resume"]):
        words = ["--steps", 2, "--vocab-size", "261", *more]
        code, out, err = train(capsys, tmp_path / "text.txt", tmp_path / "m", *words)
        assert code == 0, err
    assert json.loads(out)["validation_loss"] is None and "after step 2 of 2" in err


def test_another_kind_of_model_is_not_a_hundred_settings(text: Path, tmp_path: Path, capsys) -> None:
    assert train(capsys, text, tmp_path / "m", "--steps", 1)[0] == 0
    code, _, err = train(capsys, text, tmp_path / "m", "--steps", 1, "--resume", "--architecture", "lstm")
    assert code == 2 and "another kind of model (--architecture)" in err and "norm" not in err
    code, _, err = train(capsys, text, tmp_path / "n", "--steps", 1, "--pairs.batch-tokens", 300)
    assert code == 2 and "--pairs.*: settings of translation models" in err
