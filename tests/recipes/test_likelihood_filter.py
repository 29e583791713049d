"""The recipe of the corpus filter, small: an n-gram model tells junk from text."""

import importlib.util
import random
from pathlib import Path

import pytest

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "likelihood_filter.py"


def test_an_ngram_model_finds_planted_junk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("likelihood_filter", RECIPE)
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    chooser, lines = random.Random(0), []
    people, places = ("the farmer", "a teacher", "her brother"), ("the market", "the harbour", "a small shop")
    for article in range(24):
        lines.append(f" = Town {article} = ")
        for _ in range(40):
            lines.append(
                f"In the morning {chooser.choice(people)} walked to {chooser.choice(places)} again ."
            )
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "other.txt").write_text("吾輩は猫である。名前はまだ無い。\n" * 400, encoding="utf-8")
    dropped = recipe.main([str(tmp_path / "text.txt"), "--other", str(tmp_path / "other.txt")])
    assert dropped["good"] <= 0.1
    for kind in ("random characters", "letters shuffled inside of words", "another language"):
        assert dropped[kind] == 1.0, kind
    assert "| good |" in capsys.readouterr().out
