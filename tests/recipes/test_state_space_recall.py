"""The recall recipe: what its rows ask, and that its runs go through."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).resolve().parents[2] / "recipes" / "state_space_recall.py"
spec = importlib.util.spec_from_file_location(PATH.stem, PATH)
recipe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recipe)


def test_induction_asks_for_what_stood_behind_the_special_token() -> None:
    for testing in (False, True):
        batch = recipe.batch_of("induction", np.random.default_rng(0), 50, 64, testing=testing)
        for ids_T, targets_T, mask_T in zip(batch.ids_BT, batch.targets_BT, batch.mask_BT, strict=True):
            (places,) = np.nonzero(ids_T == recipe.SPECIAL)
            answer = ids_T[places[0] + 1]
            assert places[-1] == 63 and (len(places) == 2 or not testing)
            assert np.array_equal(np.nonzero(mask_T)[0], places[1:])
            assert (targets_T[mask_T] == answer).all() and answer < recipe.PLAIN


def test_copying_asks_for_the_items_in_their_order() -> None:
    batch = recipe.batch_of("copying", np.random.default_rng(0), 50, 64)
    for ids_T, targets_T, mask_T in zip(batch.ids_BT, batch.targets_BT, batch.mask_BT, strict=True):
        assert (ids_T[mask_T] == recipe.ASKS).all() and mask_T.sum() == recipe.ITEMS
        items = ids_T[~mask_T][ids_T[~mask_T] != recipe.NOISE]
        assert np.array_equal(targets_T[mask_T], items) and len(items) == recipe.ITEMS


def test_every_kind_is_trained_and_tested() -> None:
    sizes = ["--steps", "2", "--rows", "2", "--length", "64", "--tested", "64", "600", "--held", "4"]
    rows = recipe.main([*sizes, "--seeds", "0", "--tasks", "induction"])
    assert [row["kind"] for row in rows] == ["mamba", "mamba2", "attention"]
    assert all(0 <= share <= 1 for row in rows for share in row["recalled"].values())


@pytest.mark.slow
def test_a_state_recalls_sixteen_times_beyond_its_rows() -> None:
    few = ["--kinds", "mamba2", "--tasks", "induction", "--seeds", "0", "--steps", "250", "--rows", "12"]
    (row,) = recipe.main([*few, "--length", "64", "--tested", "64", "1024", "--held", "64"])
    assert row["recalled"][64] >= 0.99
    assert row["recalled"][1024] >= 0.5  # chance is a sixteenth
