"""Rewards: the shapes of callables, and what is said of those that fail."""

import math
import sys
import time

import numpy as np
import pytest

from shizuku.errors import ConfigError, TrainingError
from shizuku.tuning.policy.rewards import CallableReward, ModelReward, is_callable_name, open_callable

PROMPTS, ANSWERS = ["p1", "p2", "p3"], ["a", "bb", "ccc"]


def many(prompts, completions):
    return [len(c) for c in completions]


def one(prompt, completion):
    return len(completion)


class Judge:
    def __call__(self, prompts, completions):
        return np.array([len(c) for c in completions])


SHAPES = {
    "many": many,
    "one": one,
    "object": Judge(),
    "method": Judge().__call__,
    "nameless many": lambda x, y: [len(c) for c in y],
    "nameless one": lambda x, y: float(len(y)) if isinstance(y, str) else y.lower(),
    "nameless one that takes lists": lambda x, y: sum(c.isalpha() for c in y),
    "annotated": lambda x, y: [len(c) for c in y],
    "rows": lambda prompts, completions, records: [r["n"] for r in records],
    "a row": lambda prompt, completion, record: record["n"],
    "defaults": lambda prompts, completions, scale=1: [scale * len(c) for c in completions],
    "anything": lambda *args: [len(c) for c in args[1]],
}


@pytest.mark.parametrize("function", SHAPES.values(), ids=SHAPES.keys())
def test_every_usual_shape_of_a_callable_is_found_out(function) -> None:
    reward = CallableReward(function)
    for _ in range(2):
        scores = reward(PROMPTS, ANSWERS, [{"n": 1}, {"n": 2}, {"n": 3}])
        assert scores.dtype == np.float64 and scores.tolist() == [1, 2, 3]


def test_one_answer_is_no_special_case() -> None:
    assert CallableReward(lambda x, y: float(len(y)))(["p"], ["abc"]).tolist() == [3]
    assert CallableReward(lambda x, y: [float(len(c)) for c in y])(["p"], ["abc"]).tolist() == [3]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda prompts, completions: [0.0, math.nan, 0.0], ["finite", "nan", "'p2'", "'bb'"]),
        (
            lambda prompt, completion: math.inf if completion == "ccc" else 0,
            ["finite", "inf", "'p3'", "'ccc'"],
        ),
        (lambda prompts, completions: [1.0], ["expected 3 numbers", "got 1", "'p1'"]),
        (lambda prompts, completions: 1.0, ["expected a list of 3 numbers", "float 1.0"]),
        (lambda prompts, completions: [1, None, 2], ["expected a number", "NoneType", "'bb'"]),
        (lambda prompts, completions: 1 / 0, ["ZeroDivisionError", "'p1'", "'a'"]),
        (lambda prompt, completion: {"a": 1}[completion], ["KeyError", "'p2'", "'bb'"]),
        (lambda prompts, completions: sys.exit(0), ["SystemExit", "'p1'", "'a'"]),
        (lambda prompt, completion: sys.exit(0), ["SystemExit", "'p1'", "'a'"]),
    ],
)
def test_a_reward_that_fails_is_explained_with_prompt_and_completion(function, says) -> None:
    with pytest.raises(TrainingError) as error:
        CallableReward(function, name="mine")(PROMPTS, ANSWERS)
    for words in ["--reward mine", *says]:
        assert words in str(error.value)


def test_a_reward_that_takes_forever_is_left_behind_with_the_flag_that_allows_more() -> None:
    def slow(prompt, completion):
        if completion == "bb":
            time.sleep(5)
        return 0.0

    begun = time.monotonic()
    with pytest.raises(
        TrainingError, match=r"longer than 0.2 s.*'p2', completion 'bb'.*--ppo.reward-seconds"
    ):
        CallableReward(slow, seconds=0.2)(PROMPTS, ANSWERS)
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "function", [lambda: 0, lambda x: 0, lambda a, b, c, d: 0, lambda a, *, b: 0, "text"]
)
def test_a_callable_of_another_shape_is_refused_before_anything_runs(function) -> None:
    with pytest.raises(ConfigError, match="--reward"):
        CallableReward(function)


def test_a_function_is_found_by_module_or_file_and_what_is_missing_is_named(tmp_path, monkeypatch) -> None:
    (tmp_path / "judges.py").write_text("def good(prompts, completions): return [1 for _ in prompts]\n")
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.chdir(tmp_path)
    assert open_callable("judges:good")(["p"], ["c"]).tolist() == [1]
    assert open_callable(f"{tmp_path}/judges.py:good")(["p"], ["c"]).tolist() == [1]
    for where, says in {
        "judges:better": "judges has no better (there: good)",
        "absent_module:good": "no module absent_module",
        "broken.py:good": "no module nowhere_to_be_found",
        "absent.py:good": "no file absent.py",
        "judges:": "expected MODULE:FUNCTION",
    }.items():
        with pytest.raises(ConfigError) as error:
            open_callable(where)
        assert says in str(error.value)
    assert is_callable_name("judges:good") and not is_callable_name(str(tmp_path))


def test_numbers_of_a_reward_model_are_checked_too() -> None:
    assert ModelReward(lambda p, c: [0.5, 1, 2], "model")(PROMPTS, ANSWERS).tolist() == [0.5, 1, 2]
    with pytest.raises(TrainingError, match="'p3', completion 'ccc'"):
        ModelReward(lambda p, c: [0.5, 1, math.nan], "model")(PROMPTS, ANSWERS)
