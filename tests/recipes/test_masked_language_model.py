"""The recipe runs, small, on both texts, and its figures hold together."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    path = Path(__file__).parents[2] / "recipes" / "masked_language_model.py"
    spec = importlib.util.spec_from_file_location("masked_language_model", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SMALL = ["--steps", "6", "--preset", "micro", "--batch-size", "4", "--vocab-size", "300"]


def test_figures_of_the_town(recipe: ModuleType) -> None:
    found = recipe.main([*SMALL, "--megabytes", "0.1"])
    assert found["below unigrams"] == pytest.approx(found["unigram loss"] - found["masked loss"])
    assert 4 < found["unigram loss"] < np.log(300) + 0.5
    for negatives in ("random", "same-document"):
        assert 0 <= found[f"pairs right, {negatives}"] <= 1
        assert 0.5 <= found[f"by length alone, {negatives}"] < 0.8


def test_articles_are_whole_and_apart(recipe: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "wiki.txt"
    body = " \n = = Part = = \n Some words of article {n} , and more . \n"
    file.write_text("\n".join(f" = Article {n} = \n{body.format(n=n)}" for n in range(12)))
    train, held = recipe.articles(file)
    assert len(train) == 10
    assert [one.text.split("\n")[0].strip() for one in held] == ["= Article 0 =", "= Article 10 ="]
    assert all(one.text.count("words of article") == 1 for one in (*train, *held))
