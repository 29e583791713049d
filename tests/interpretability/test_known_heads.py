"""Heads made by hand are found for what they are, and words are found in tokens."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from shizuku.errors import ModelError
from shizuku.interpretability.known_heads import known_heads
from shizuku.interpretability.maps import attention_maps
from shizuku.interpretability.pairs import Ranked, find_word, looks, ranked


class Made(nn.Module):
    """A model of one layer whose heads do what they are called: previous, induction, duplicate, first."""

    hook_points = ("side.attention.pattern", "side.residual")

    def __init__(self) -> None:
        super().__init__()
        self.hooks, self.blocks = None, [None]
        self.config = SimpleNamespace(vocab_size=60, heads=4)
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, ids_BT: torch.Tensor) -> None:
        tokens = ids_BT[0].tolist()
        pattern_BHTS = torch.zeros(1, 4, len(tokens), len(tokens))
        for at, token in enumerate(tokens):
            earlier = tokens.index(token)
            copied = earlier + 1 if earlier < at else 0
            for head, seen in enumerate((max(at - 1, 0), copied, earlier, 0)):
                pattern_BHTS[0, head, at, seen] = 1
        if self.hooks is not None:
            self.hooks("side.attention.pattern", pattern_BHTS)


@pytest.mark.parametrize("start", [None, 59])
def test_heads_made_by_hand_are_found(start: int | None) -> None:
    found = known_heads(Made(), length=20, texts=2, ids=range(50), start=start)
    for values_LH, best in (
        (found.previous, 0),
        (found.induction, 1),
        (found.duplicate, 2),
        (found.first, 3),
    ):
        assert ranked(values_LH, 1) == [Ranked(0, best, 1.0)]
        assert np.delete(values_LH[0], best).max() < 0.6
    again = known_heads(Made(), length=20, texts=2, ids=range(50), start=start)
    assert np.array_equal(found.first, again.first)
    with pytest.raises(ModelError, match="51 different tokens"):
        known_heads(Made(), length=51, ids=range(50))


def test_a_model_with_points_of_its_own_has_maps() -> None:
    assert attention_maps(Made(), [4, 5, 4]).shape == (1, 4, 3, 3)
    assert attention_maps(Made(), [4, 5, 4], heads=[1])[0, 0, 2].tolist() == [0, 1, 0]


def test_looks_and_ranks_are_what_a_loop_finds() -> None:
    maps_LHTT = np.random.default_rng(0).random((2, 3, 5, 5), dtype=np.float32)
    found = looks(maps_LHTT, [3, 4], [1, 2])
    for layer in range(2):
        for head in range(3):
            rows = [maps_LHTT[layer, head, row, 1] + maps_LHTT[layer, head, row, 2] for row in (3, 4)]
            assert found[layer, head] == pytest.approx(sum(rows) / 2)
    values_LH = np.array([[0.5, -0.9], [0.5, 0.1]])
    assert [(one.layer, one.head) for one in ranked(values_LH)] == [(0, 0), (1, 0), (1, 1), (0, 1)]
    assert ranked(values_LH, 1, size=True) == [Ranked(0, 1, -0.9)]


def test_words_are_found_over_tokens() -> None:
    tokens = ["The", " it", " an", "imal", " it", "'s", "雨₁", "雨₂"]
    assert find_word(tokens, "animal") == [2, 3]
    assert find_word(tokens, "it") == [4]
    assert find_word(tokens, "it's") == [4, 5]
    assert find_word(tokens, "雨") == [6, 7]
    assert find_word(["H₂O", " x"], "H₂O") == [0]
    assert find_word(["a", " ", "b"], " ") == [1]
    with pytest.raises(ModelError, match="--to-token 'cat': no run of tokens"):
        find_word(tokens, "cat", name="to-token")
