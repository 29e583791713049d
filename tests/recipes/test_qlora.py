"""The recipe of QLoRA on a micro model: every base is tuned, and merging does what it must."""

import importlib.util
from pathlib import Path

import pytest

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "qlora.py"


def test_adapters_learn_on_packed_bases_and_merge_into_them(tmp_path: Path, capsys) -> None:
    spec = importlib.util.spec_from_file_location("qlora", RECIPE)
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    words = ["--preset", "micro", "--megabytes", "0.15", "--base-steps", "20", "--steps", "12"]
    words += ["--vocab-size", "400", "--calibration-tokens", "1000", "--rate", "0.01"]
    runs = recipe.main(["--out", str(tmp_path), "--seeds", "1", *words])
    (plain,) = runs["LoRA, float"]
    for name, (found,) in runs.items():
        assert found.before - found.loss > 0.1, name
        assert found.own < 1e-4, name
        if name != "LoRA, float":
            assert found.original > 100 * found.own and found.divergence > 0, name
            assert found.loss == pytest.approx(plain.loss, abs=0.05)
    assert "| QLoRA, codebook4 |" in capsys.readouterr().out
