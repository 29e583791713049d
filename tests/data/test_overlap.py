"""Overlap by hashes against a plain set of spans."""

import re

import numpy as np
import pytest

from shizuku.data import overlap as overlap_module
from shizuku.data.cleaning import Ledger
from shizuku.data.overlap import drop_overlapping, is_spaceless, overlap
from shizuku.errors import ConfigError
from shizuku.text.documents import Document, document_id


def documents(*texts: str) -> list[Document]:
    return [Document(document_id("test", number), text, "test") for number, text in enumerate(texts)]


def plain(train: list[str], heldout: str, span: int, spaceless: bool) -> float:
    def units(text: str) -> list[str]:
        return list(re.sub(r"\s", "", text.lower())) if spaceless else re.findall(r"\w+", text.lower())

    spans = {
        tuple(u[i : i + span]) for text in train for u in [units(text)] for i in range(len(u) - span + 1)
    }
    mine = units(heldout)
    covered: set[int] = set()
    for i in range(len(mine) - span + 1):
        if tuple(mine[i : i + span]) in spans:
            covered |= set(range(i, i + span))
    return len(covered) / len(mine)


@pytest.mark.parametrize("span", [1, 2, 7, 13])
@pytest.mark.parametrize("alphabet", ["abc", "あいう"])
def test_equals_a_set_of_spans(span: int, alphabet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap_module, "AT_ONCE", 300)
    random = np.random.default_rng(0)
    spaceless = alphabet == "あいう"
    space = "" if spaceless else " "

    def text(length: int) -> str:
        return space.join(random.choice(list(alphabet), length))

    train = [text(length) for length in random.integers(1, 200, 40)]
    heldout = [text(100) for _ in range(8)]
    heldout += [heldout[0] + space + train[3] + space + heldout[1], train[5]]
    found = overlap(documents(*train), documents(*heldout), span, characters=span)
    assert found == pytest.approx([plain(train, one, span, spaceless) for one in heldout])


ENGLISH = "It was the best of times, it was the worst of times, it was the age of wisdom and of foolishness."
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"


def test_case_punctuation_and_line_breaks_do_not_hide_a_copy() -> None:
    train = documents(ENGLISH.upper().replace(",", " —\n"), JAPANESE.replace("。", "。\n"))
    ratios = overlap(train, documents(ENGLISH, JAPANESE, "Something else that no one has ever written " * 2))
    assert ratios.tolist() == [1, 1, 0]


def test_spans_do_not_reach_over_documents() -> None:
    words = ENGLISH.split()
    assert overlap(documents(" ".join(words[:10]), " ".join(words[10:])), documents(ENGLISH)).tolist() == [0]
    assert overlap(documents(JAPANESE[:20], JAPANESE[20:]), documents(JAPANESE)).tolist() == [0]


def test_scripts_without_spaces_are_told() -> None:
    assert is_spaceless(JAPANESE)
    assert is_spaceless("今日はCPUでGPTを学習する。")
    assert not is_spaceless(ENGLISH)
    assert not is_spaceless("The word 雫 means a drop.")
    assert not is_spaceless("")


def test_documents_that_are_mostly_training_text_are_dropped() -> None:
    fresh = "An entirely different sentence that shares nothing with what the model has been shown. "
    heldout = documents(ENGLISH, fresh, ENGLISH + " " + fresh * 3)
    ledger = Ledger()
    found = drop_overlapping(documents(ENGLISH), heldout, ledger=ledger)
    assert found.kept == heldout[1:]
    assert (found.dropped, found.dropped_bytes) == (1, len(ENGLISH))
    assert found.ratios[0] == 1
    assert found.ratios[1] == 0
    assert 0 < found.ratios[2] < 0.5
    assert found.before == pytest.approx(np.average(found.ratios, weights=[len(d.text) for d in heldout]))
    assert found.after == pytest.approx(
        np.average(found.ratios[1:], weights=[len(d.text) for d in heldout[1:]])
    )
    assert [(drop.id, drop.step, drop.score) for drop in ledger.drops] == [(heldout[0].id, "overlap", 1)]
    assert drop_overlapping(documents(ENGLISH), heldout, threshold=0.1).kept == [heldout[1]]


def test_nothing_to_compare() -> None:
    assert drop_overlapping(documents(ENGLISH), []).before == 0
    assert overlap([], documents(ENGLISH, JAPANESE, "short")).tolist() == [0, 0, 0]
    with pytest.raises(ConfigError, match=r"a span is at least 1 .*--span"):
        overlap([], documents(ENGLISH), 0)
