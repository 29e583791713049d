"""The recipe on a micro model that learns a few questions by heart: tuned, called, answered with the tool."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from shizuku.checkpoints.directory import save_checkpoint
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.calculator_marks import calculator_call, with_calculator
from shizuku.tuning.templates import template_text
from tiny_language_model import tiny_model

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "calculator.py"


@pytest.fixture
def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("calculator_recipe", RECIPE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["calculator_recipe"] = module
    spec.loader.exec_module(module)
    return module


def micro(folder: Path, records: list[str]) -> Path:
    """A model with a vocabulary in which a conversation with the calculator is short."""
    tokenizer = Tokenizer.train(records * 20, 420)
    template = {"default": template_text(Path("chatml-tools"))}
    made = Tokenizer(
        tokenizer.backend, special=tokenizer.special, chat_templates=template, settings=tokenizer.settings
    )
    return save_checkpoint(folder, model=tiny_model(made.vocab_size, context=512), tokenizer=made)


def test_it_learns_to_call_and_the_tool_answers(
    recipe: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = "It is 12*12 = <<12*12=144>>144.\n#### 144"
    data = tmp_path / "problems.jsonl"
    data.write_text(json.dumps({"question": "What is 354*139?", "answer": answer}))
    turns = with_calculator([*calculator_call("12*12"), {"role": "assistant", "content": answer}])
    model = micro(tmp_path / "base", [json.dumps(turns), template_text(Path("chatml-tools"))])
    out = tmp_path / "out"
    command = [str(data), "--out", str(out), "--model", str(model), "--tokens", "400", "--longest", "400"]
    command += ["--context", "400", "--epochs", "60", "--rate", "0.01", "--questions", "2"]
    command += ["--rank", "0", "--plain", "0", "--json"]
    found = recipe.main(command)
    assert json.loads(capsys.readouterr().out) == found
    assert found["tuning, marks"]["problems"] == 1 and found["tuning, marks"]["loss"] < 0.1
    assert found["marks, with the tool"]["right"] == found["base, without"]["right"] == 0
    first = found["marks, with the tool"]["first"]
    assert first["expressions"] == ["12*12"], "it learned by heart to call this, and only once"
    assert first["said"].endswith("The answer is 144."), "and to go on behind the result"
    again = recipe.main(command[:-1])
    assert again == found, "nothing is done twice"
    assert "| marks, with the tool | 0.0% |" in capsys.readouterr().out


def test_questions_are_new_and_plain_ones_are_of_other_kinds(recipe: ModuleType) -> None:
    pairs = recipe.products(200, 0)
    assert len(set(pairs)) == 200 and pairs[0] == (354, 139)
    assert all(100 <= one <= 999 for pair in pairs for one in pair) and pairs == recipe.products(200, 0)
    random = recipe.np.random.Generator(recipe.np.random.Philox(0))
    for _ in range(300):
        turns = recipe.plain_question(random)["messages"]
        expression = turns[1]["tool_calls"][0]["function"]["arguments"]["expression"]
        factors = expression.split("*")
        assert len(factors) == 1 or min(map(int, factors)) < 100
        assert turns[-1]["content"] == f"{turns[2]['content']} is the answer."
    assert recipe.numbers("354*139 = 49,206, not 49 206.") == [354, 139, 49206, 49, 206]
