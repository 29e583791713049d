"""ROUGE-L over tokens of any script, beside the package that most papers use."""

import random

import pytest
from rouge_score import rouge_scorer

from shizuku.text.likeness import Pool, most_alike, rouge_l, tokens, word_count

WORDS = ["write", "a", "Poem", "about", "the", "sea_side", "don't", "3.5", "list", "of", "rain", "(short)"]


def test_equals_rouge_score_on_ascii() -> None:
    scorer, draw = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False), random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 14))) for _ in range(40)]
    pool = Pool(texts[:20])
    for text in texts[20:]:
        scores = [scorer.score(known, text)["rougeL"].fmeasure for known in texts[:20]]
        nearest = pool.nearest(text)
        assert nearest.score == pytest.approx(max(scores), abs=1e-12)
        assert scores[nearest.index] == pytest.approx(nearest.score, abs=1e-12)


def test_scripts_without_blanks_are_compared_by_letters() -> None:
    assert tokens("犬がＡＢＣと走る。") == ["犬", "が", "abc", "と", "走", "る"]
    assert rouge_l("犬が走る", "猫が走る") == 0.75
    assert rouge_l("犬が走る", "雨の日") == 0
    assert tokens("Ёлка naïve") == ["ёлка", "naïve"]
    assert word_count("短い詩を書く write two") == 5


def test_texts_without_tokens_are_like_none() -> None:
    assert Pool(["...", "a b"]).nearest("!?").score == 0
    assert Pool(["..."]).nearest("a b").score == 0
    assert Pool().nearest("a").index == -1


def test_codes_pass_over_surrogates() -> None:
    many = [f"w{number}" for number in range(56_000)]
    pool = Pool([" ".join(many)])
    assert pool.nearest(" ".join(many[55_000:])).score == pytest.approx(2 * 1000 / 57_000)
    assert most_alike(["a b c d", "x y", "a b c e"]) == 0.75
