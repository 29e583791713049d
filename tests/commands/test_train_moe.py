"""`shizuku train --architecture moe`, and what the other verbs make of such models."""

import json
from pathlib import Path

import pytest

import shizuku
from shizuku import cli

TRAIN = ["train", "--architecture", "moe", "--preset", "micro", "--vocab-size", "270", "-t", "1"]
SMALL = ["--steps", "8", "--batch-size", "2", "-c", "48", "--model.width", "24", "--model.expert-width", "16"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text and a model trained a few steps."""
    folder = tmp_path_factory.mktemp("moe")
    (folder / "text.txt").write_text("the cat sat on the mat and the dog sat by the door. " * 80)
    turns = [
        {"messages": [{"role": "user", "content": "say it"}, {"role": "assistant", "content": f"{n}"}]}
        for n in range(6)
    ]
    (folder / "chats.jsonl").write_text("\n".join(map(json.dumps, turns)))
    words = [*TRAIN, *SMALL, "--text", str(folder / "text.txt"), "--out", str(folder / "run")]
    assert cli.run(words) == 0
    return folder


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict, str]:
    """Exit code, JSON result and what was said of one command."""
    capsys.readouterr()
    code = cli.run([*map(str, words), "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out.strip() else {}, " ".join(said.err.split())


def test_it_is_a_qwen3_moe_that_generates_and_scores(made: Path) -> None:
    assert json.loads((made / "run" / "config.json").read_text())["model_type"] == "qwen3_moe"
    lm = shizuku.load(made / "run")
    assert type(lm.runtime).__name__ == "TorchRuntime"
    one, other = lm.generate(["the cat", "and the dog sat"], max_new_tokens=5)
    assert [one, other] == [lm.generate(text, max_new_tokens=5) for text in ("the cat", "and the dog sat")]
    assert all(score.token_logprobs.max() <= 0 for score in lm.score(["the mat", "a door"]))
    last = json.loads((made / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"term/balance", "experts/load", "experts/idle", "experts/entropy"} <= last.keys()


def test_a_dry_run_says_both_sizes(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*TRAIN, *SMALL, "--text", made / "text.txt", "--out", made / "planned", "--dry-run"]
    code, plan, _ = run(capsys, *words)
    assert code == 0 and plan["parameters"] - plan["parameters_active"] == 2 * 6 * 3 * 24 * 16


def test_experts_are_packed_and_tuned_with_an_adapter_that_merges(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "quantize", made / "run", "--scheme", "int8", "--out", made / "packed")[0] == 0
    tune = ["tune", made / "packed", "--data", made / "chats.jsonl", "--out", made / "adapter"]
    assert run(capsys, *tune, "--lora.rank", 2, "--epochs", 1)[0] == 0
    assert run(capsys, "merge", made / "adapter", "--out", made / "merged")[0] == 0
    assert isinstance(shizuku.load(made / "merged").generate("the", max_new_tokens=2), str)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generate", "run", "--prompt", "a", "--runtime", "native"], "has no experts (8), which"),
        (["export", "run", "--format", "gguf", "--out", "x.gguf"], "GGUF files of models with experts (8"),
        (["train", "--architecture", "moe", "--preset", "gpt2-small", "--text", "text.txt", "--out", "x"],
         "the presets of --architecture moe are tiny, micro"),
        (["train", "--text", "text.txt", "--out", "x", "--model.experts-per-token", "9",
          "--model.experts", "4"], "experts_per_token is 9"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(
    words: list[str],
    message: str,
    made: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(made)
    code, _, said = run(capsys, *words)
    assert code != 0 and message in said
