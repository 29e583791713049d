"""The yardstick, small: every kind of model is trained, measured, written down, and not measured twice."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from shizuku.errors import ConfigError
from shizuku.report.ledger import Ledger

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SMALL = [
    "--texts", "town", "--models", "ngram-2-add-k", "recurrent", "decoder", "--seconds", "0.5",
    "--parameters", "60000", "--vocab-size", "300", "--context", "128", "--batch-size", "2", "--threads", "1",
    "--megabytes", "0.1", "--heldout-bytes", "1000",
]  # fmt: skip


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(RECIPES))
    module = importlib.import_module("yardstick")
    monkeypatch.setattr(module, "PROMPT", 16)
    monkeypatch.setattr(module, "MADE", 8)
    yield module
    for name in ("yardstick", "yardstick_texts"):
        sys.modules.pop(name, None)


def test_models_are_measured_once_and_written_into_the_page(recipe: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "yardstick.md"
    page.parent.mkdir()
    page.write_text("# Title\n<!-- yardstick: begin -->\n<!-- yardstick: end -->\n", encoding="utf-8")
    out = ["--out", str(tmp_path / "out"), "--docs", str(page)]
    first = recipe.main([*out, *SMALL, "--seeds", "0"])
    assert "± " not in first and page.read_text(encoding="utf-8").count("\n| recurrent |") == 1
    names = ("xz", "xz, primed", "order-5 bytes", "ngram-2-add-k", "recurrent", "decoder")
    assert all(f"\n| {name} |" in first for name in names)
    assert (page.parent / "yardstick-town.svg").read_text(encoding="utf-8").startswith("<svg")
    before = (tmp_path / "out" / "runs.jsonl").read_text(encoding="utf-8")
    second = recipe.main([*out, *SMALL, "--seeds", "0", "1", "--models", "ngram-2-add-k", "recurrent"])
    after = (tmp_path / "out" / "runs.jsonl").read_text(encoding="utf-8")
    assert after.startswith(before) and after.count("\n") == before.count("\n") + 1
    assert "± " in second and json.loads(after.splitlines()[-1])["key"]["seed"] == 1
    for key, figures in Ledger(tmp_path / "out" / "runs.jsonl"):
        if not key.get("baselines"):
            assert 0 < figures["bits_per_byte"] < 9 and figures["made_tokens_per_second"] > 0
    memory = {
        key["model"]: figures["sequence_bytes"]
        for key, figures in Ledger(tmp_path / "out" / "runs.jsonl")
        if "model" in key
    }
    assert memory["recurrent"]["512"] == memory["recurrent"]["4096"]
    assert memory["decoder"]["4096"] == 8 * memory["decoder"]["512"]
    assert recipe.main([*out, *SMALL, "--report-only"]) == second
    assert "recurrent" not in recipe.main([*out, *SMALL, "--report-only", "--seconds", "7"])
    with pytest.raises(ConfigError, match="choose another --out"):
        recipe.main([*out, *SMALL, "--vocab-size", "400"])


def test_every_language_model_is_found(recipe: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"decoder", "lstm", "recurrent", "mamba-1", "mamba-2", "ngram-5"} <= set(recipe.known_models())
    assert "mamba" not in recipe.known_models() and "encoder-decoder" not in recipe.known_models()
    with pytest.raises(SystemExit):
        recipe.main(["--out", "x", "--models", "transformer"])
    assert "--models transformer: expected some of ngram-3" in capsys.readouterr().err
