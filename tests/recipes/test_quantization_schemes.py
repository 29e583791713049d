"""The recipe of quantization schemes on a micro model: a row for each scheme, and every claim it prints."""

import importlib.util
from pathlib import Path

import pytest
import torch

from shizuku.checkpoints.directory import save_checkpoint
from small_models import small_model, small_tokenizer

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "quantization_schemes.py"


def test_tables_and_claims_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("quantization_schemes", RECIPE)
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    model = save_checkpoint(tmp_path / "model", model=small_model(), tokenizer=small_tokenizer())
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text("the rain fell on the roof of the shop. " * 3 + str(number))
    arguments = [str(model), "--text", *map(str, tmp_path.glob("*.txt")), "--tokens", "200"]
    schemes = ["int4", "gptq4", "int3", "gptq3"]
    recipe.main([*arguments, "--calibration-tokens", "200", "--claims", "--schemes", *schemes])
    shown = capsys.readouterr().out
    for scheme in ("float32", *schemes):
        assert f"| {scheme} |" in shown
    for claim in ("- rounding, 4 bits", "- gptq, 3 bits", "- codebook, 4 bits", "- outliers, planted, gptq"):
        assert claim in shown
    planted, ids = recipe.planted(small_model()), torch.arange(20)[None]
    assert torch.allclose(planted(ids), small_model()(ids), atol=1e-4), "planting changes nothing"
