"""The recipes of translation models, small: they run, go on where they were, and say what they found."""

import gzip
import importlib.util
import random
from pathlib import Path
from types import ModuleType

import pytest

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
WORDS = {"der": "the", "ein": "a", "Hund": "dog", "Mann": "man", "sieht": "sees", "Ball": "ball"}


def recipe(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.slow
def test_models_are_trained_and_compared_and_not_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sacrebleu")
    chooser = random.Random(0)
    for part, count in (("train", 200), ("val", 20)):
        lines = [" ".join(chooser.choices(list(WORDS), k=4)) for _ in range(count)]
        for language, some in (
            ("de", lines),
            ("en", [" ".join(WORDS[w] for w in one.split()) for one in lines]),
        ):
            packed = gzip.compress(("\n".join(some) + "\n").encode())
            (tmp_path / f"multi30k.{part}.{language}.gz").write_bytes(packed)
    translation = recipe("translation")
    small = ["width=16", "embedding_width=16", "attention_width=8", "context=32"]
    translation.MODELS["attention"] = {
        "architecture": "lstm-seq2seq", "model": dict(one.split("=") for one in small), "vocab_size": 290,
    }  # fmt: skip
    line = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--minutes", "0.02", "--threads", "1"]
    line += ["--models", "attention", "--every", "2"]
    first = translation.main(line)
    assert (
        first[0]["parameters"] > 0
        and first[0]["validation_loss"] > 0
        and "| attention |" in capsys.readouterr().out
    )
    assert translation.main(line) == first and (tmp_path / "out" / "results.json").is_file()


def test_copies_are_learned_with_attention_sooner(tmp_path: Path) -> None:
    line = ["--out", str(tmp_path), "--tasks", "copy", "--steps", "120", "--length", "5", "--seeds", "1"]
    line += ["--width", "32", "--rows", "2000", "--batch-tokens", "400"]
    with_attention, without = recipe("copy_reverse").main(line)
    assert with_attention["trained"] > without["trained"] + 0.2
    assert with_attention["loss"] < without["loss"]


def test_rows_of_different_symbols_are_new_each_time() -> None:
    found = recipe("copy_reverse").rows(300, 3, 20, 0)
    assert all(len(set(row)) == len(row) and 3 <= len(row) <= 20 for row in found)
    assert len({tuple(row) for row in found}) == 300


def test_warm_up_is_measured(tmp_path: Path) -> None:
    line = ["--out", str(tmp_path), "--layers", "1", "--width", "16", "--steps", "3", "--batch-tokens", "100"]
    found = recipe("warm_up").main(line)
    assert len(found) == 4 and all(one["loss"] > 0 for one in found)
