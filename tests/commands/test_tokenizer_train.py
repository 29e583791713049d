"""`shizuku tokenizer train` from the command line."""

import json
from pathlib import Path

import pytest

from shizuku import cli
from shizuku.text.tokenizer import Tokenizer


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    try:
        code = cli.run(["tokenizer", "train", *map(str, words)])
    except SystemExit as stopped:  # a setting that contradicts itself never reaches the verb
        code = int(stopped.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    lines = [json.dumps({"text": f"the cat sat on mat {n}. 猫は畳に座った。"}) for n in range(50)]
    (tmp_path / "corpus.jsonl").write_text("\n".join([*lines, "{broken"]))
    return tmp_path / "corpus.jsonl"


def test_it_trains_saves_and_measures(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tokenizer"
    code, printed, said = run(capsys, "--text", corpus, "--vocab-size", 280, "--out", out, "--json")
    result = json.loads(printed)
    assert code == 0
    assert result["vocab_size"] == Tokenizer.load(out).vocab_size == 280
    assert result["seconds"] > 0 and result["bytes_per_token"] > 1.5
    assert result["skipped"] == {"not JSON": 1}
    assert "skipped 1: not JSON" in said


def test_every_kind_is_trained_and_tells_what_it_loses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "code.txt"
    corpus.write_text(Path(__file__).read_text())
    for kind, size in (("characters", None), ("character-bpe", 200), ("unigram", 200), ("wordpiece", 200)):
        words = ["--text", corpus, "--kind", kind, "--out", tmp_path / kind, "--json"]
        code, printed, _ = run(capsys, *words, *([] if size is None else ["--vocab-size", size]))
        result = json.loads(printed)
        loaded = Tokenizer.load(tmp_path / kind)
        assert code == 0 and result["kind"] == kind
        assert result["vocab_size"] == loaded.vocab_size == (size or loaded.vocab_size)
        assert result["unknown_characters"] == 0 and loaded.unknown_id is not None
    words = ["--text", corpus, "--kind", "characters", "--vocab-size", 20, "--out", tmp_path / "few"]
    code, printed, _ = run(capsys, *words)
    assert code == 0 and "characters unknown" in printed


def test_a_person_reads_one_line(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, _ = run(capsys, "--text", corpus, "--vocab-size", 280, "--out", tmp_path / "t")
    assert code == 0 and "280 ids" in printed and "bytes a token" in printed
    code, printed, _ = run(
        capsys, "--text", corpus, "--vocab-size", 280, "--out", tmp_path / "no", "--dry-run"
    )
    assert code == 0 and "files: 1" in printed and not (tmp_path / "no").exists()


def test_mistakes_are_named_with_their_flag(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--text", corpus, "--out", tmp_path / "t"]
    for words, message in (
        (common, "kind byte-bpe needs a size. Give --vocab-size"),
        ([*common, "--vocab-size", 100], "Raise --vocab-size to 261"),
        ([*common, "--vocab-size", 90_000], "Lower --vocab-size to"),
        (
            [*common, "--vocab-size", 280, "--field", "body"],
            "it has: text. Name the text's field with --field",
        ),
        ([*common, "--vocab-size", 280, "--min-frequency", 0], "--min-frequency is 0; expected 1 or more"),
        ([*common, "--vocab-size", 280, "--max-bytes", 0], "--max-bytes is 0; expected 1 or more"),
        (["--text", tmp_path / "no", "--out", "t", "--vocab-size", 280], "does not exist. Check the path"),
    ):
        code, _, said = run(capsys, *words)
        assert code == 2 and message in said, said
