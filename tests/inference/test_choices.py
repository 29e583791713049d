"""Choices behind contexts that begin alike: as scored one by one."""

import numpy as np
import pytest

from shizuku.errors import ModelError
from shizuku.inference.choices import choice_log_probs
from tiny_language_model import tiny_lm


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 0, 2, 1]])
def test_choices_have_the_log_probabilities_that_scoring_gives(order: list[int]) -> None:
    lm = tiny_lm()
    contexts = [[5, 6, 7, 8], [5, 6, 7, 9, 10], [5, 6, 7, 9], [40, 6]]
    contexts = [contexts[number] for number in order]
    choices = [[11], [12, 13, 14], [11, 15]]
    found_NC = choice_log_probs(lm.engine, contexts, choices)
    start = lm.tokenizer.document_start_id
    for context, row in zip(contexts, found_NC, strict=True):
        with_start = choice_log_probs(lm.engine, [[start, *context]], choices)[0]
        scores = lm.score(choices, [context] * len(choices))
        assert with_start == pytest.approx([score.logprob for score in scores], abs=1e-4)
        alone = choice_log_probs(lm.engine, [context], choices)[0]
        assert row == pytest.approx(alone, abs=1e-4)
    assert np.unique(found_NC.round(3)).size == found_NC.size


def test_what_can_not_be_read_is_refused() -> None:
    lm = tiny_lm(context=8)
    with pytest.raises(ModelError, match="one token or more"):
        choice_log_probs(lm.engine, [[]], [[3]])
    with pytest.raises(ModelError, match="up to 9 tokens"):
        choice_log_probs(lm.engine, [[3] * 7], [[3], [4, 5]])
    assert choice_log_probs(lm.engine, [], [[3]]).shape == (0, 1)
