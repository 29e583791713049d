"""ARPA files: read by KenLM with the same probabilities, and read back; broken ones say in which line."""

import math
from pathlib import Path

import numpy as np
import pytest

from ngram_parts import METHODS, VOCAB, documents, model
from shizuku.checkpoints.arpa import escaped, read_arpa, unescaped, write_arpa
from shizuku.errors import CheckpointError

WORDS = ["<s>", "</s>", "<unk>", *(f"w{number}" for number in range(3, VOCAB))]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["model.arpa", "model.arpa.gz"])
def test_kenlm_reads_it_with_the_same_probabilities(method: str, name: str, tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm", reason="the extra test brings kenlm")
    made = model(method, 4, documents())
    theirs = kenlm.Model(str(write_arpa(tmp_path / name, made, WORDS)))
    for line in documents(30, seed=4):
        text = " ".join(WORDS[token] for token in line[1:-1])
        expected = [score for score, _, _ in theirs.full_scores(text)]
        found = made.logprobs(np.array(line))[1:] / math.log(10)
        assert found == pytest.approx(expected, abs=1e-4)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    made = model("kneser-ney", 3, documents())
    again, words = read_arpa(write_arpa(tmp_path / "model.arpa", made, WORDS))
    assert words == WORDS and again.unpredicted == 0
    for line in documents(20, seed=4):
        assert again.logprobs(np.array(line))[1:] == pytest.approx(
            made.logprobs(np.array(line))[1:], abs=1e-7
        )
    assert abs(np.exp(again.next_logprobs([0, 5])).sum() - 1) < 1e-6


def test_any_token_text_is_a_word() -> None:
    for text in ("", " a", "a b\n", "▁", "\\", "<s>", "x<s>", "\u3000", "\\u{41}", "雫"):
        word = escaped(text)
        assert unescaped(word) == text and word.split() == [word] and word not in ("<s>", "</s>", "<unk>")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "expected|ends too early"),
        (lambda text: text.replace("ngram 2=", "ngram 3="), "line 3: expected `ngram 2=COUNT`"),
        (lambda text: text.replace("\tw5\t", "\tw6\t", 1), "w6 is there twice"),
        (lambda text: text.replace("\n-", "\nx", 1), "expected a number at the beginning"),
        (lambda text: "nothing of the kind\n", "ends too early"),
        (lambda text: "", "line 0: the file ends too early"),
    ],
)
def test_a_broken_file_says_where(change, message: str, tmp_path: Path) -> None:
    path = write_arpa(tmp_path / "model.arpa", model("kneser-ney", 2, documents()), WORDS)
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        read_arpa(path)


def test_binary_junk_and_wrong_words_are_refused(tmp_path: Path) -> None:
    (tmp_path / "junk.arpa").write_bytes(bytes(range(256)))
    with pytest.raises(CheckpointError, match="cannot be read as an ARPA file"):
        read_arpa(tmp_path / "junk.arpa")
    with pytest.raises(CheckpointError, match="cannot be read as an ARPA file"):
        read_arpa(tmp_path / "missing.arpa")
    for words in (WORDS[:-1], [*WORDS[:-1], "w3"], [*WORDS[:-1], "a b"]):
        with pytest.raises(CheckpointError, match="words"):
            write_arpa(tmp_path / "model.arpa", model("add-k", 2, documents()), words)
    assert not (tmp_path / "model.arpa").exists()


def test_more_is_not_promised_than_a_file_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "m.arpa"
    path.write_text("\\data\\\nngram 1=999999999999\n\n\\1-grams:\n-1 a\n\\end\\\n")
    with pytest.raises(CheckpointError, match="999,999,999,999 1-grams are promised"):
        read_arpa(path)
