"""Exercises made out of any text, for a model that is to answer: repeat, find, complete, continue.

What is asked is decided by the seed and the document's id alone, so the same documents give the same
exercises in any order. All but `continue` have one right answer, which stands in the question; asked about
held-out documents, they show whether a model does what it is told with sentences that it has never seen.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shizuku.data.overlap import is_spaceless
from shizuku.data.town.randomness import Choices
from shizuku.text.documents import Document

CLOSED = ("repeat", "first", "last", "missing", "opening")
OPEN = ("continue",)
ENGLISH = {
    "repeat": ("Repeat after me: {0}", "Say this again: {0}", "Repeat: {0}"),
    "first": ("What is the first word of this? {0}", "First word: {0}"),
    "last": ("What is the last word of this? {0}", "Last word: {0}"),
    "missing": ("{0} Which word is missing here? {1}", "{0} What belongs in the gap? {1}"),
    "opening": ("What is the first sentence of this? {0} {1}", "First sentence: {0} {1}"),
    "continue": ("Continue: {0}", "How does this go on? {0}"),
}
JAPANESE = {
    "repeat": ("次の文を繰り返してください：{0}", "もう一度言ってください：{0}", "繰り返し：{0}"),
    "first": ("次の文の最初の文字は何ですか：{0}", "最初の文字：{0}"),
    "last": ("次の文の最後の文字は何ですか：{0}", "最後の文字：{0}"),
    "missing": ("{0}次の文で抜けている文字は何ですか：{1}", "{0}空所に入る文字は何ですか：{1}"),
    "opening": ("次の文章の最初の文は何ですか：{0}{1}", "最初の文：{0}{1}"),
    "continue": ("続けてください：{0}", "次の文の続きは何ですか：{0}"),
}
GAP = "___"
_ENDS = (re.compile(r"(?<=[.!?।؟])\s+"), re.compile(r"(?<=[。！？])"))
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_STOPS = tuple(".!?।؟。！？")
_EDGES = ".,;:!?\"'()[]“”‘’。、！？「」『』（）"
_LENGTHS = ((4, 14), (8, 32))
"""Least and most words of a sentence, or characters where no spaces are written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exercise:
    """A task about a piece of text, and its answer."""

    question: str
    answer: str
    family: str
    """One of CLOSED or OPEN."""


def exercises(documents: Iterable[Document], *, seed: int = 0) -> Iterator[Exercise]:
    """Exercises about half of each document's short sentences, in the documents' order."""
    for document in documents:
        spaceless = is_spaceless(document.text)
        found = list(_sentences(document.text, spaceless))
        pick = Choices(seed, "exercises", document.id)
        for number in pick.some(range(len(found) - 1), len(found) // 2):
            family = pick.of((*CLOSED, *OPEN))
            yield _exercise(pick, family, found[number], found[number + 1], spaceless)


def _exercise(pick: Choices, family: str, sentence: str, following: str, spaceless: bool) -> Exercise:
    words = [c for c in sentence if c not in _EDGES] if spaceless else sentence.split()
    plain = words if spaceless else [word.strip(_EDGES) for word in words]
    second, answer = following, sentence
    if family in ("first", "last"):
        answer = plain[0 if family == "first" else -1]
    elif family == "missing":
        answer, second = _gap(pick, sentence, plain)
    elif family == "continue":
        answer = following
    asked = pick.of((JAPANESE if spaceless else ENGLISH)[family])
    return Exercise(question=asked.format(sentence, second), answer=answer, family=family)


def _gap(pick: Choices, sentence: str, words: list[str]) -> tuple[str, str]:
    """A word of the sentence, and the sentence with a gap in its place (the first place where it stands)."""
    word = pick.of(words)
    return word, sentence.replace(word, GAP, 1)


def _sentences(text: str, spaceless: bool) -> Iterator[str]:
    """The whole sentences of each paragraph that are neither too short nor too long, none of them twice."""
    least, most = _LENGTHS[spaceless]
    seen: set[str] = set()
    for paragraph in _PARAGRAPH.split(text):
        joined = ("" if spaceless else " ").join(line.strip() for line in paragraph.splitlines())
        for sentence in map(str.strip, _ENDS[spaceless].split(joined)):
            words = [c for c in sentence if c not in _EDGES] if spaceless else sentence.split()
            if not least <= len(words) <= most or len(sentence) > 12 * most or sentence in seen:
                continue
            begins = sentence[0].isalpha() and not sentence[0].islower()
            if begins and sentence.endswith(_STOPS) and all(word.strip(_EDGES) for word in words):
                seen.add(sentence)
                yield sentence
