"""The recipe of the article's sentence, on a small model: every table, and what holds in any decoder."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from shizuku.checkpoints.directory import save_checkpoint
from shizuku.models.decoder import Decoder, DecoderConfig, initialise
from small_models import small_tokenizer

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "attention_it.py"


def test_tables_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("attention_it", RECIPE)
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    sentence = "The rain didn't cross the town because it was too {}."
    recipe.ARTICLE = recipe.Pair(sentence, ("rain", "town"), ("dryx", "wxyz"))
    recipe.OTHERS = recipe.OTHERS[:2]
    model = Decoder(
        DecoderConfig(vocab_size=290, context=192, width=32, layers=2, heads=4, kv_heads=2, ffn_width=48)
    )
    initialise(model, 0)
    made = save_checkpoint(tmp_path / "model", model=model, tokenizer=small_tokenizer())
    found = recipe.main([str(made), "--heads", "3"])
    assert found["article"].moved == 0 and len(found["said"]) == 3
    assert np.array_equal(found["article"].lean_it, np.zeros((2, 4)))
    printed = capsys.readouterr().out
    assert printed.count("\n|---") == 4 and "of 2" in printed
    assert recipe.by_chance(2, 2) == 0.25 and recipe.by_chance(0, 5) == 1
