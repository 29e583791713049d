"""The recipes of policy optimisation run, small."""

import gzip
import json
from itertools import islice
from pathlib import Path

import pytest
from policy_parts import enumerable, recipe

from shizuku.checkpoints.directory import save_checkpoint
from tiny_language_model import tiny_model, tokenizer


def test_the_enumerable_recipe_prints_a_row_a_seed(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = enumerable.main(["--seeds", "3", "--rounds", "1"])
    assert 0 < found["after"] < 1 and found["before"] > 0
    assert "| 3 |" in capsys.readouterr().out


def test_over_optimisation_leaves_its_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = recipe("overoptimisation")
    module.SAMPLED = 128
    (found,) = module.main(["--seeds", "0", "--pairs", "60", "--rounds", "3", "--out", str(tmp_path)])
    assert 0 <= found["accuracy"] <= 1 and found["kl_end"] >= 0
    (curve,) = json.loads((tmp_path / "curves.json").read_text(encoding="utf-8"))
    assert len(curve["gold"]) == len(curve["proxy"]) == 3
    assert "square root of the divergence" in (tmp_path / "overoptimisation.html").read_text(encoding="utf-8")
    texts = ["", "a", "ab", "ba.l"]
    assert [module.written(module.read(text)[1:]) for text in texts] == texts


def test_grpo_on_sums_checks_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    module = recipe("grpo_sums")
    assert module.right("3+9=", "12") == 1 and module.right("3+9=", "012") == module.right("3+9=", "") == 0
    (found,) = module.main(["--seeds", "0", "--largest", "3", "--steps", "5", "--rounds", "1"])
    assert all(0 <= share <= 1 for share in found.values())


def test_ppo_on_harmless_answers_goes_through_all_its_stages_and_prints_no_text(
    data_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = recipe("harmless_ppo")
    module.HELDOUT, module.LONGEST_SIDE, module.LONGEST_PROMPT, module.NEW_TOKENS = 4, 400, 300, 4
    model = tiny_model(tokenizer().vocab_size, context=512)
    base = save_checkpoint(tmp_path / "base", model=model, tokenizer=tokenizer())
    with gzip.open(data_pack / "preference/hh_harmless.test.jsonl.gz", "rb") as whole:
        (tmp_path / "few.jsonl").write_bytes(b"".join(islice(whole, 90)))
    out = tmp_path / "out"
    words = [str(base), "--data", str(tmp_path / "few.jsonl"), "--out", str(out)]
    found = module.main([*words, "--tokens", "3000", "--rounds", "1", "--epochs", "1"])
    assert 0 <= found["low"] <= found["wins"] <= found["high"] <= 1
    said, answers = capsys.readouterr().out, (out / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(answers) == 4 and "prefers" in said
    for line in answers:
        assert json.loads(line)["prompt"][-1]["content"] not in said
