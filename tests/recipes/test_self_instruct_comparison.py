"""The comparison on a micro model: what is held out stays out, both arms see as many tokens."""

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

from shizuku.checkpoints.directory import save_checkpoint
from tiny_language_model import tiny_lm, tiny_model, tokenizer

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "self_instruct_comparison.py"
WORDS = ("cat", "mat", "rain", "boat", "lake", "town", "sea", "shop")


@pytest.fixture
def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("self_instruct_comparison", RECIPE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["self_instruct_comparison"] = module
    spec.loader.exec_module(module)
    return module


def record(first: str, second: str, number: int) -> str:
    return json.dumps(
        {
            "id": f"t{number}", "instruction": f"Say {first} {second} {number}", "is_classification": False,
            "instances": [{"input": "", "output": f"The {first} and the {second}."}],
        }
    )  # fmt: skip


def test_two_arms_are_tuned_and_compared(recipe: ModuleType, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.jsonl"
    lines = [record(a, b, n) for n, (a, b) in enumerate((a, b) for a in WORDS for b in WORDS[:5])]
    seeds.write_text("\n".join(lines))
    base = save_checkpoint(tmp_path / "base", model=tiny_model(tokenizer().vocab_size), tokenizer=tokenizer())
    out = tmp_path / "out"
    out.mkdir()
    learned, held = recipe.parted(seeds, out)
    assert len(held) == 25 and len(learned) == 15
    assert not {task.instruction for task in learned} & {task.instruction for task in held}
    near = held[0].instruction  # a made task that repeats a held-out one is left out
    made = [
        json.loads(lines[0]) | {"instruction": f"Tell me of the {word} now", "id": word} for word in WORDS
    ]
    made.append(made[0] | {"instruction": near})
    (out / "made").mkdir()
    (out / "made" / "tasks.jsonl").write_text("\n".join(map(json.dumps, made)))
    (out / "measures.json").write_text(json.dumps({"making": {"tasks": len(made)}}))
    command = [str(seeds), "--out", str(out), "--model", str(base), "--tokens", "4000", "--rank", "4"]
    found = recipe.main([*command, "--context", "64", "--rate", "0.02"])
    assert found["tuning both"]["tasks"] == 15 + len(made) - 1
    assert found["tuning seeds"]["tokens"] == pytest.approx(4000, rel=0.1)
    assert found["tuning both"]["tokens"] == pytest.approx(4000, rel=0.1)
    assert found["seeds"]["nats"]["mean"] < found["base"]["nats"]["mean"] - 0.5
    difference = found["both minus seeds"]["nats"]
    assert difference["mean"] == pytest.approx(found["both"]["nats"]["mean"] - found["seeds"]["nats"]["mean"])
    assert difference["low"] <= difference["mean"] <= difference["high"]
    assert recipe.main(command)["both"] == found["both"], "nothing is done twice"


def test_nats_are_those_of_the_answer_and_its_end(recipe: ModuleType) -> None:
    lm = tiny_lm()
    turns = [{"role": "user", "content": "The cat?"}, {"role": "assistant", "content": "The mat."}]
    [nats], [count] = recipe.nats_of(lm, [turns])
    ids = lm.tokenizer.encode_chat(turns[:1], add_generation_prompt=True)
    answer = [*lm.tokenizer.encode("The mat."), lm.tokenizer.backend.token_to_id("<|im_end|>")]
    logits = lm.logits([*ids, *answer]).astype("float64")
    by_hand = 0.0
    for place, token in enumerate(answer, start=len(ids) - 1):
        by_hand += math.log(sum(math.exp(x - logits[place, token]) for x in logits[place]))
    assert count == len(answer) and nats == pytest.approx(by_hand, rel=1e-4)
