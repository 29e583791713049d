"""The recipe runs, small: the base is neutral, held-out prompts are in nothing that is learned from."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from shizuku.tuning.pairs import read_pairs, split_pairs


@pytest.fixture
def recipe() -> ModuleType:
    path = Path(__file__).parents[2] / "recipes" / "dpo_alpaca.py"
    spec = importlib.util.spec_from_file_location("dpo_alpaca", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["dpo_alpaca"] = module
    spec.loader.exec_module(module)
    return module


def test_a_micro_model_is_made_aligned_and_judged_on_prompts_it_has_not_seen(
    recipe: ModuleType, data_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = json.loads((data_pack / recipe.PACK).read_text(encoding="utf-8"))
    few = tmp_path / "pairs.json"
    few.write_text(json.dumps(records[:120]), encoding="utf-8")
    small = ["--data", str(few), "--out", str(tmp_path / "out"), "--seeds", "0", "--vocab-size", "400"]
    (found,) = recipe.main([*small, "--tuning-epochs", "0.3", "--epochs", "0.5"])
    assert found["accuracy_before"][0] == 0.5 and found["heldout"] > 5
    assert found["validation_loss"] < 0.693, "below that of the start, log 2"
    assert f"| micro, seed 0 | {found['pairs']} |" in capsys.readouterr().out
    _, held = split_pairs(read_pairs(few).items, recipe.HELDOUT, 0)
    learned = (tmp_path / "out" / "seed-0" / "both.jsonl").read_text(encoding="utf-8").splitlines()
    asked = {json.loads(line)["messages"][0]["content"] for line in learned}
    assert asked and not asked & {pair.prompt[0]["content"] for pair in held}
