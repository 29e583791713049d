"""The recall recipe: what its rows ask, and that its runs go through."""

import numpy as np

from recipes.state_space_recall import ASKS, ITEMS, NOISE, PLAIN, SPECIAL, batch_of, main


def test_induction_asks_for_what_stood_behind_the_special_token() -> None:
    for testing in (False, True):
        batch = batch_of("induction", np.random.default_rng(0), 50, 64, testing=testing)
        for ids_T, targets_T, mask_T in zip(batch.ids_BT, batch.targets_BT, batch.mask_BT, strict=True):
            (places,) = np.nonzero(ids_T == SPECIAL)
            answer = ids_T[places[0] + 1]
            assert places[-1] == 63 and (len(places) == 2 or not testing)
            assert np.array_equal(np.nonzero(mask_T)[0], places[1:])
            assert (targets_T[mask_T] == answer).all() and answer < PLAIN


def test_copying_asks_for_the_items_in_their_order() -> None:
    batch = batch_of("copying", np.random.default_rng(0), 50, 64)
    for ids_T, targets_T, mask_T in zip(batch.ids_BT, batch.targets_BT, batch.mask_BT, strict=True):
        assert (ids_T[mask_T] == ASKS).all() and mask_T.sum() == ITEMS
        items = ids_T[~mask_T][ids_T[~mask_T] != NOISE]
        assert np.array_equal(targets_T[mask_T], items) and len(items) == ITEMS


def test_every_kind_is_trained_and_tested() -> None:
    sizes = ["--steps", "2", "--rows", "2", "--length", "64", "--tested", "64", "600", "--held", "4"]
    rows = main([*sizes, "--seeds", "0", "--tasks", "induction"])
    assert [row["kind"] for row in rows] == ["mamba", "mamba2", "attention"]
    assert all(0 <= share <= 1 for row in rows for share in row["recalled"].values())
