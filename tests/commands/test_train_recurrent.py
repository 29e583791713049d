"""`shizuku train --architecture lstm|mamba`, and what the other verbs make of such models."""

import json
from pathlib import Path

import pytest

import shizuku
from shizuku import cli

LSTM = ["--architecture", "lstm", "--model.width", "24"]
MAMBA1 = ["--architecture", "mamba", "--model.width", "24", "--setting", "heads=null", "state_width=8"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, conversations, and models of two architectures trained a few steps."""
    folder = tmp_path_factory.mktemp("recurrent")
    (folder / "text.txt").write_text("the cat sat on the mat and the dog sat by the door. " * 80)
    turns = [
        {"messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": f"say {n}"},
                      {"role": "assistant", "content": f"{n}"}]}
        for n in range(12)
    ]  # fmt: skip
    (folder / "chats.jsonl").write_text("\n".join(map(json.dumps, turns)))
    labelled = [{"text": f"number {n}", "label": "ab"[n % 2]} for n in range(20)]
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, labelled)))
    for name, chosen in (("lstm", LSTM), ("mamba", MAMBA1)):
        assert cli.run([
            "train", *chosen, "--text", str(folder / "text.txt"), "--out", str(folder / name), "--preset",
            "micro", "--vocab-size", "270", "--steps", "25", "--batch-size", "2", "-c", "96", "-t", "1",
        ]) == 0  # fmt: skip
    return folder


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict, str]:
    """Exit code, JSON result and what was said of one command."""
    capsys.readouterr()
    code = cli.run([*map(str, words), "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out.strip() else {}, " ".join(said.err.split())


def test_they_are_saved_in_the_one_directory_and_opened(made: Path) -> None:
    for name, model_type in (("lstm", "shizuku-lstm"), ("mamba", "mamba")):
        assert json.loads((made / name / "config.json").read_text())["model_type"] == model_type
        lm = shizuku.load(made / name)
        assert lm.context == 1 << 20
        assert type(lm.runtime).__name__ == "RecurrentRuntime"
        one, other = lm.generate(["the cat", "and the dog sat"], max_new_tokens=5)
        assert [one, other] == [
            lm.generate(text, max_new_tokens=5) for text in ("the cat", "and the dog sat")
        ]


@pytest.mark.parametrize("name", ["lstm", "mamba"])
def test_they_are_evaluated_far_beyond_their_rows(
    name: str, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, window = made / "text.txt", ("--window", 800, "--stride", 400)
    code, found, said = run(capsys, "eval", made / name, "--text", text, *window)
    assert code == 0 and found["window"] == 800 and "native" not in said
    assert found["bits_per_byte"] < 3
    code, found, _ = run(
        capsys, "bench", made / name, "--rounds", 1, "--prompt-tokens", 40, "--new-tokens", 4
    )
    assert code == 0 and found["pp40"] > 0


@pytest.mark.parametrize("name", ["lstm", "mamba"])
def test_conversations_that_begin_alike_are_tuned_on(
    name: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned"
    words = ("tune", made / name, "--data", made / "chats.jsonl", "--out", out, "--epochs", 1, "-t", 1)
    code, _, said = run(capsys, *words)
    assert code == 0, said
    assert shizuku.load(out).chat([{"role": "user", "content": "say 3"}], max_new_tokens=2) is not None


def test_adapters_and_packed_matrices_where_blocks_have_linear_layers(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tune = ("--data", made / "chats.jsonl", "--epochs", 1, "--lora.rank", 2, "-t", 1)
    code, _, said = run(capsys, "tune", made / "lstm", *tune, "--out", tmp_path / "no")
    assert code == 2 and "adapters are not supported for this architecture" in said and "--lora.rank" in said
    code, _, said = run(capsys, "quantize", made / "lstm", "--scheme", "int8", "--out", tmp_path / "no")
    assert code == 2 and "architecture lstm, of which no matrices can be packed" in said
    code, _, said = run(capsys, "tune", made / "mamba", *tune, "--out", tmp_path / "adapter")
    assert code == 0, said
    code, _, said = run(capsys, "merge", tmp_path / "adapter", "--out", tmp_path / "merged")
    assert code == 0, said
    under, merged = (shizuku.load(tmp_path / name) for name in ("adapter", "merged"))
    assert under.generate("the cat", max_new_tokens=4) == merged.generate("the cat", max_new_tokens=4)
    words = ("quantize", made / "mamba", "--scheme", "int8", "--text", made / "text.txt")
    code, found, said = run(capsys, *words, "--out", tmp_path / "packed")
    assert code == 0, said
    assert found["perplexity_after"] == pytest.approx(found["perplexity_before"], rel=0.01)
    shizuku.load(tmp_path / "packed").generate("the cat", max_new_tokens=2)


def test_what_they_cannot_do_is_said_with_what_they_can(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("classify", made / "mamba", "--data", made / "labels.jsonl", "--out", tmp_path / "no")
    code, _, said = run(capsys, *words)
    assert code == 2 and "a model of the architecture mamba cannot carry a head" in said
    assert "what it can do is continue texts (shizuku generate), be evaluated on text" in said
    code, _, said = run(capsys, "export", made / "lstm", "--format", "gguf", "--out", tmp_path / "x.gguf")
    assert code == 2 and "written of decoders alone, and this model is of the architecture lstm" in said
    code, _, said = run(capsys, "generate", made / "mamba", "--prompt", "a", "--runtime", "native")
    assert code == 2 and "the native library computes decoders" in said and "mamba" in said
