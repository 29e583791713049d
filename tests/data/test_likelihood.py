"""The filter by likelihood: bounds, the ledger, and an n-gram model as its scorer."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from shizuku.data.cleaning import Ledger
from shizuku.data.likelihood import AT_ONCE, bound_of, drop_by_likelihood
from shizuku.errors import ConfigError
from shizuku.text.documents import Document, document_id


def documents(texts: Sequence[str]) -> list[Document]:
    return [Document(document_id("test", number), text, "test") for number, text in enumerate(texts)]


def test_what_lies_outside_of_the_bounds_is_dropped_with_its_score() -> None:
    scores = {"easy": 0.2, "good": 1.5, "fair": 2.0, "junk": 5.0}
    wrote, ledger = documents([*scores] * AT_ONCE), Ledger()
    kept = list(
        drop_by_likelihood(
            iter(wrote), lambda some: [scores[text] for text in some], most=2.0, least=0.5, ledger=ledger
        )
    )
    assert [one.text for one in kept] == ["good", "fair"] * AT_ONCE
    assert ledger.counts() == {"too easy": AT_ONCE, "too surprising": AT_ONCE}
    assert {(drop.reason, drop.score) for drop in ledger.drops} == {
        ("too easy", 0.2),
        ("too surprising", 5.0),
    }
    assert [drop.id for drop in ledger.drops] == [wrote[n].id for n in range(len(wrote)) if n % 4 in (0, 3)]


def test_a_bound_keeps_the_share_of_good_texts_that_was_asked_for() -> None:
    scores = np.random.default_rng(0).permutation(100).tolist()
    assert bound_of(scores, 0.9) == 89 and bound_of(scores, 1.0) == 99 and bound_of(scores, 0.001) == 0
    with pytest.raises(ConfigError, match="0 < share <= 1"):
        bound_of(scores, 0.0)
    with pytest.raises(ConfigError, match="0 texts"):
        bound_of([], 0.5)


@pytest.mark.parametrize("scores", [[1.0], [1.0, math.nan], []])
def test_a_scorer_that_gives_no_number_for_a_text_is_refused(scores: list[float]) -> None:
    with pytest.raises(ConfigError, match="for 2 texts"):
        list(drop_by_likelihood(documents(["one", "two"]), lambda some: scores, most=2.0))


def test_bounds_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="0 <= least < most"):
        list(drop_by_likelihood(documents(["one"]), lambda some: [1.0], most=1.0, least=1.0))
