"""The yardstick of translation models: which runs it asks for, and what it makes of their figures."""

import importlib
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(RECIPES))
    yield importlib.import_module("yardstick_translation")
    for name in ("yardstick_translation", "translation"):
        sys.modules.pop(name, None)


def test_runs_are_made_once_and_shown_by_their_time(
    recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int, float]] = []

    def run(model: str, seed: int, given: Namespace) -> dict[str, object]:
        asked.append((model, seed, given.minutes))
        bleu = 20 + seed + given.minutes / 10 + len(model)
        figures = {"validation_loss": 2.0, "parameters": 1000, "steps": 100 + seed, "signature": "nrefs:1"}
        return {"bleu": bleu, **figures}

    monkeypatch.setattr(recipe, "run", run)
    page = tmp_path / "page.md"
    page.write_text("<!-- translation: begin -->\n<!-- translation: end -->\n", encoding="utf-8")
    command = ["--data", "x", "--out", str(tmp_path / "out"), "--models", "attention", "transformer"]
    markdown = recipe.main([*command, "--docs", str(page)])
    assert asked[:2] == [("attention", 0, 10.0), ("transformer", 0, 10.0)] and len(asked) == 8
    assert asked[-1] == ("transformer", 0, 45.0)
    assert "| transformer | 1,000 | 10 | 3 | 100, 101, 102 | 2.000 | 33.00 ± 2.48 |" in markdown
    assert "| transformer | 1,000 | 45 | 1 | 100 | 2.000 | 35.50 |" in markdown and "`nrefs:1`" in markdown
    assert markdown.strip() in page.read_text(encoding="utf-8")
    assert (tmp_path / "yardstick-translation.svg").is_file()
    assert recipe.main([*command, "--seeds", "0", "1"]) == markdown and len(asked) == 8
