"""The recipe of n-gram smoothing, small: every method in the table, and longer contexts better."""

import importlib.util
import random
from pathlib import Path

import pytest

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "ngram_smoothing.py"


def test_methods_are_compared_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("ngram_smoothing", RECIPE)
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    chooser = random.Random(0)
    for name, count in (("train.txt", 400), ("held.txt", 40)):
        lines = []
        for _ in range(count):
            who, where = chooser.choice(("cat", "dog", "cow")), chooser.choice(("mat", "bed", "hill"))
            lines.append(f"the {who} sleeps on the {where if who != 'cow' else 'hill'} today")
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = [str(tmp_path / "train.txt"), str(tmp_path / "held.txt"), "--orders", "1", "4"]
    found = recipe.main([*words, "--arpa", str(tmp_path / "arpa")])
    assert set(found) == {(method, order) for method in recipe.METHODS for order in (1, 4)}
    assert all(found[method, 4] < found[method, 1] / 2 for method in recipe.METHODS)
    assert "| 4 |" in capsys.readouterr().out and len(list((tmp_path / "arpa").iterdir())) == 4
