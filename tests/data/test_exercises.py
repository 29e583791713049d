"""Exercises made out of any text: their answers stand in them, and the same text gives the same ones."""

import pytest

from shizuku.data.exercises import CLOSED, GAP, exercises
from shizuku.text.documents import Document

ENGLISH = Document(
    id="a",
    text="The cat sat on the wall. A dog ran down the long road.\nNobody saw the man with the red hat. "
    "It was late in the evening. They went home without a word. The lamp was still burning there.",
    source="a",
)
JAPANESE = Document(
    id="b",
    text="吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"
    "何でも薄暗いじめじめした所で泣いていた。吾輩はここで始めて人間というものを見た。",
    source="b",
)


@pytest.mark.parametrize("document", [ENGLISH, JAPANESE])
def test_the_answers_stand_in_the_questions(document: Document) -> None:
    found = [one for seed in range(40) for one in exercises([document], seed=seed)]
    assert {one.family for one in found} == {*CLOSED, "continue"}
    for one in found:
        if one.family == "continue":
            assert one.answer in document.text and one.answer not in one.question
        else:
            assert one.answer and one.answer in one.question, one
        if one.family == "missing":
            before, gap, after = one.question.partition(GAP)
            assert gap and before.count(one.answer) + after.count(one.answer) >= 1


def test_order_does_not_matter_and_the_seed_does() -> None:
    one, other = list(exercises([ENGLISH, JAPANESE], seed=1)), list(exercises([JAPANESE, ENGLISH], seed=1))
    assert sorted(map(str, one)) == sorted(map(str, other))
    assert one != list(exercises([ENGLISH, JAPANESE], seed=2))


def test_a_text_without_sentences_gives_none() -> None:
    assert not list(exercises([Document(id="c", text="one two\n\nthree", source="c")]))
