"""The recipe of classification on a tiny model: every method on one split, and no text printed."""

import importlib.util
import json
from pathlib import Path

import numpy as np

from shizuku.checkpoints.directory import save_checkpoint
from tiny_language_model import tiny_model, tokenizer

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "classification.py"


def test_every_method_is_judged_on_the_same_texts(tmp_path: Path, capsys) -> None:
    spec = importlib.util.spec_from_file_location("classification", RECIPE)
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    model = save_checkpoint(
        tmp_path / "base", model=tiny_model(tokenizer().vocab_size, context=256), tokenizer=tokenizer()
    )
    random = np.random.default_rng(0)
    rows = []
    for at in range(160):
        words = [*random.choice(["sea", "lake", "mat", "town"], 3), *["rain" if at % 3 else "boat"] * 2]
        random.shuffle(words)
        rows.append({"text": f"{' '.join(words)} {at}", "label": int(bool(at % 3))})
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    sizes = ["--labelled", "60", "--unlabelled", "40", "--test", "40", "--epochs", "2", "--confidence", "0.5"]
    words = ["--words", "0=boat", "1=rain"]
    found = recipe.main([str(model), "--data", str(data), *sizes, *words, "--shots", "0", "1"])
    shown = capsys.readouterr().out
    names = ["frequent", "prompt, 0 a label", "prompt, 1 a label", "lora", "full", "pseudo"]
    assert list(found) == names and all(f"| {name} |" in shown for name in names)
    totals = {tuple(judged.confusion_CC.sum(1)) for judged in found.values()}
    assert len(totals) == 1 and sum(totals.pop()) == 40
    assert "of them with its own labels" in shown and "sea" not in shown
