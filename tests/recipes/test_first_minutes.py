"""The recipe runs, small, and its variants differ."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def recipe() -> ModuleType:
    path = Path(__file__).parents[2] / "recipes" / "first_minutes.py"
    spec = importlib.util.spec_from_file_location("first_minutes", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_variants_learn_and_differ(recipe: ModuleType) -> None:
    small = ["--megabytes", "0.1", "--steps", "12", "--seeds", "0", "--vocab-size", "400", "--width", "32"]
    losses = recipe.main([*small, "--variants", "base", "no zeroed outputs"])
    assert losses["base"][0] != losses["no zeroed outputs"][0]
    assert all(loss[0] < 5.99 for loss in losses.values()), "better than even chances for 400 tokens"
