"""The recipe of noisy preferences, small: a reward model of noisy labels is right about true ones."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "noisy_preferences.py"


def load():
    spec = importlib.util.spec_from_file_location("noisy_preferences", RECIPE)
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe


def test_labels_are_turned_round_as_often_as_is_said() -> None:
    recipe = load()
    pairs = recipe.drawn(2000, 0.1, np.random.default_rng(0))
    right = [recipe.gold(pair["chosen"]) > recipe.gold(pair["rejected"]) for pair in pairs]
    assert 0.08 < 1 - np.mean(right) < 0.12
    assert all(recipe.gold(pair["chosen"]) != recipe.gold(pair["rejected"]) for pair in pairs)


@pytest.mark.slow
def test_a_reward_model_of_noisy_labels_is_right_about_true_ones(capsys) -> None:
    found = load().main(["--pairs", "1500", "--held", "300", "--steps", "140", "--seeds", "1"])
    shown = capsys.readouterr().out
    true = float(shown.splitlines()[-1].split("|")[3].split()[0])
    assert found[0] > 0.8 and true > 0.95
