"""The recipe of a reward model on a budget of tokens, on a tiny model and pairs made here."""

import importlib.util
import json
from pathlib import Path

from shizuku.checkpoints.directory import save_checkpoint
from tiny_language_model import tiny_model, tokenizer

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "harmless_reward.py"


def test_the_budget_is_kept_and_nothing_is_both_learned_and_held_out(tmp_path: Path, capsys) -> None:
    spec = importlib.util.spec_from_file_location("harmless_reward", RECIPE)
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    model = save_checkpoint(
        tmp_path / "base", model=tiny_model(tokenizer().vocab_size), tokenizer=tokenizer()
    )
    data = tmp_path / "pairs.jsonl"
    pairs = [
        {
            "chosen": f"\n\nHuman: cat {at}?\n\nAssistant: the sea",
            "rejected": f"\n\nHuman: cat {at}?\n\nAssistant: a boat on the lake",
        }
        for at in range(60)
    ]
    data.write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    flags = ["--data", str(data), "--tokens", "1500", "--held", "20", "--rank", "2", "--untrained"]
    found = recipe.main([str(model), *flags, "--out", str(tmp_path / "reward")])
    shown = capsys.readouterr().out
    tokens = int(shown.split("(")[1].split(" tokens")[0].replace(",", ""))
    assert 1400 < tokens < 1700 and "20 held out" in shown
    assert found["the shorter answer"] == 1.0  # as the pairs were made
    assert 0 <= found["more probable a token, untrained"] <= 1
    again = recipe.main([str(model), *flags, "--out", str(tmp_path / "reward")])
    assert again["reward model"] == found["reward model"]  # a finished run is gone on with, not begun anew
