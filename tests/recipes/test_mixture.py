"""The recipe runs, small: its variants differ, an earlier run is taken as it is, the page has curves."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def recipe() -> ModuleType:
    path = Path(__file__).parents[2] / "recipes" / "mixture.py"
    spec = importlib.util.spec_from_file_location("mixture", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_variants_learn_and_differ(
    recipe: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [
        *("--out", str(tmp_path / "out"), "--megabytes", "0.1", "--steps", "4", "--seeds", "0"),
        *("--vocab-size", "400", "--width", "32", "--page", str(tmp_path / "page.html")),
    ]
    found = recipe.main([*small, "--only", "dense", "balance loss", "bias"])
    dense, balanced, biased = (found[name][0] for name in ("dense", "balance loss", "bias"))
    assert all(one["loss"] < 5.99 for one in (dense, balanced, biased)), "better than even chances"
    assert balanced["active"] == pytest.approx(dense["parameters"], rel=0.02)
    assert balanced["parameters"] > 2 * dense["parameters"] and 1 <= balanced["load"] <= 8
    page = (tmp_path / "page.html").read_text()
    assert "largest load" in page and page.count("<figcaption>") == 2
    again = recipe.main([*small, "--only", "dense", "bias"])
    assert again["bias"] == found["bias"], "what is in --out already is taken from there"
    assert capsys.readouterr().out.count("| bias |") == 2
