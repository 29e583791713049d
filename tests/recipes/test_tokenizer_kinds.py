"""The recipe measures what it says: lengths, unknown characters, and what does not come back."""

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = random.Random(2)
WORDS = ["".join(SOURCE.choices("aeiouhklmnprstd", k=SOURCE.randint(2, 9))) for _ in range(300)]
LINES = [f"The {' '.join(SOURCE.choices(WORDS, k=12))}. 吾輩は猫である。\n" for _ in range(150)]
KNOWN = "".join(LINES)
UNSEEN = "The dog sat. 犬ばか\n"


@pytest.fixture
def recipe() -> ModuleType:
    path = Path(__file__).parents[2] / "recipes" / "tokenizer_kinds.py"
    spec = importlib.util.spec_from_file_location("tokenizer_kinds", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tokenizer_kinds"] = module
    spec.loader.exec_module(module)
    return module


def test_unseen_characters_are_counted_and_lengths_are_those_of_the_unseen_half(recipe: ModuleType) -> None:
    text = KNOWN + UNSEEN * (len(KNOWN) // len(UNSEEN) - 9)
    found = {kind: recipe.measure("t", text, kind, 350) for kind in ("byte-bpe", "character-bpe", "unigram")}
    found["characters"] = recipe.measure("t", text, "characters", 400)
    found["wordpiece"] = recipe.measure("t", text, "wordpiece", 200)
    unseen = 4 / len(UNSEEN)  # g, and three of the last word
    assert found["byte-bpe"].unknown == found["byte-bpe"].changed == 0
    for kind in ("character-bpe", "unigram", "characters"):
        assert found[kind].unknown == found[kind].changed == pytest.approx(unseen, rel=0.02)
    assert found["characters"].characters_per_token == 1
    assert found["characters"].bytes_per_token == pytest.approx(len(UNSEEN.encode()) / len(UNSEEN), rel=0.02)
    assert found["character-bpe"].characters_per_token > 1.2
    assert found["wordpiece"].changed > found["wordpiece"].unknown > unseen  # whole words, capitals, spaces
