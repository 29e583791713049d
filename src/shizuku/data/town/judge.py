"""Is a sentence one that the town's grammar can write, and is what it says true in the town?

The judge reads a text with the very productions that write: a sentence is `accepted` when some production
yields it, and `supported` when everything that some reading of it states agrees with the facts. Pronouns
may be anybody of the gender whom the text has named; where a day is known (from the text's date, or
given) events must be of that day or of the day before, weather and prices of that day; where none is
known, of any day.
"""

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass

from shizuku.data.town.days import Days
from shizuku.data.town.facts import PERSONS, SUMS, RecordIndex, Statement, Value
from shizuku.data.town.grammar import Item, is_pronoun
from shizuku.data.town.japanese.words import COUNTED, JapaneseWords
from shizuku.data.town.languages import Language, Parser, languages_of
from shizuku.data.town.records import standing_records
from shizuku.data.town.sums import sum_holds
from shizuku.data.town.world import Town

EXACT_DAY = frozenset({"weather", "price", "sale", "age"})
"""Kinds that are told of on their own day only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the judge finds about one sentence or line."""

    sentence: str
    accepted: bool
    supported: bool | None
    """None where nothing that can be checked is said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdicts:
    """The verdicts on a text, sentence by sentence, and their shares."""

    sentences: tuple[Verdict, ...]

    @property
    def accepted(self) -> float:
        """The share of sentences that the grammar can write (of an empty text: 0)."""
        return sum(v.accepted for v in self.sentences) / max(1, len(self.sentences))

    @property
    def checkable(self) -> int:
        """How many sentences say something that the facts decide."""
        return sum(v.supported is not None for v in self.sentences)

    @property
    def supported(self) -> float | None:
        """The share of checkable sentences that the facts support; None if there are none."""
        return sum(v.supported is True for v in self.sentences) / self.checkable if self.checkable else None


_ENGLISH_END = re.compile(r"(?<=[.?!])\s+|(?<=[.?!]”)\s+(?=[A-Z“])")
_JAPANESE_END = re.compile(r"(?<=[。？！])(?!」)")
_NUMBER = re.compile(r"^\d+(?:\. |．)")


def split_sentences(text: str, language: str, speakers: Set[str] = frozenset()) -> Iterator[str]:
    """The sentences and lines of a text, the speakers' labels and the numbers of steps left out."""
    for line in text.splitlines():
        rest = _NUMBER.sub("", line.strip())
        label, mark, said = rest.partition(": " if language == "en" else "：")
        if mark and label in speakers:
            rest = said
        for sentence in (_ENGLISH_END if language == "en" else _JAPANESE_END).split(rest):
            if sentence.strip():
                yield sentence.strip()


class Judge:
    """Judges texts about one town; facts of a day are recalled when a text speaks of it."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self._languages = languages_of(town)
        self._days = Days(town)
        self._speakers = {
            "en": frozenset(
                name for (name,) in self._languages["en"].words.tables["person", "name"].values()
            ),
            "ja": frozenset(
                name for (name,) in self._languages["ja"].words.tables["person", "label"].values()
            ),
        }
        self._standing = RecordIndex(standing_records(town))
        self._by_day: dict[int, RecordIndex] = {}
        self._all: RecordIndex | None = None

    def check(self, text: str, language: str, day: int | None = None) -> Verdicts:
        """Judge every sentence of a text in "en" or "ja"; `day` is the day it was written, if known."""
        words = self._languages[language]
        mentioned: set[str] = set()
        verdicts = []
        for sentence in split_sentences(text, language, self._speakers[language]):
            readings = self._readings(sentence, words)
            dates = {v for items in readings for s in items for r, v in _pairs(s) if r == "day"}
            if day is None and len(dates) == 1:
                day = int(dates.pop())
            for items in readings:
                mentioned |= {
                    str(v) for s in items for r, v in _pairs(s) if r in PERSONS and not is_pronoun(v)
                }
            verdicts.append(
                Verdict(
                    sentence=sentence,
                    accepted=bool(readings),
                    supported=self._supported(readings, day, mentioned),
                )
            )
        return Verdicts(sentences=tuple(verdicts))

    def _readings(self, sentence: str, language: Language) -> list[tuple[Item, ...]]:
        """Everything the sentence can mean; empty if the grammar cannot write it."""
        readings = []
        for text, family in _as_written(sentence, language.words.language):
            for _, items in Parser(language, text).whole(family):
                if not isinstance(language.words, JapaneseWords) or _counters_fit(items, language.words):
                    readings.append(items)
        return readings

    def _supported(
        self, readings: list[tuple[Item, ...]], day: int | None, mentioned: set[str]
    ) -> bool | None:
        stating = [
            [s for s in items if isinstance(s, Statement) and _says_something(s)] for items in readings
        ]
        if not stating or not all(stating):
            return None
        return any(all(self._holds(s, day, mentioned) for s in statements) for statements in stating)

    def _holds(self, statement: Statement, day: int | None, mentioned: set[str]) -> bool:
        """Whether some record agrees with the statement."""
        roles = {r: v for r, v in statement.roles if r != "day" and not r.endswith("#")}
        if statement.kind in SUMS:
            return sum_holds(statement.kind, roles)
        exact = {r: v for r, v in roles.items() if not is_pronoun(v)}
        pronouns = {r: str(v) for r, v in roles.items() if is_pronoun(v)}
        day = dict(statement.roles).get("day", day)  # type: ignore[assignment]
        for index in self._indexes(statement.kind, day):
            for record in index.matching(statement.kind, exact):
                if all(self._may_be(record.roles.get(r), p, mentioned) for r, p in pronouns.items()):
                    return True
        return False

    def _may_be(self, value: Value | None, pronoun: str, mentioned: set[str]) -> bool:
        """Whether a pronoun can mean a person."""
        if pronoun in ("?I", "?you"):
            return True
        gender = self.town.people[str(value)].gender
        if mentioned and not any(self.town.people[p].gender == gender for p in mentioned):
            return False
        return pronoun == f"?{gender}" and (not mentioned or value in mentioned)

    def _indexes(self, kind: str, day: int | None) -> Iterator[RecordIndex]:
        yield self._standing
        if day is None:
            if self._all is None:
                self._all = RecordIndex(r for d in range(self.town.days) for r in self._days.records(d))
            yield self._all
            return
        yield self._index(day)
        if kind not in EXACT_DAY and day > 0:
            yield self._index(day - 1)

    def _index(self, day: int) -> RecordIndex:
        found = self._by_day.get(day)
        if found is None:
            found = self._by_day[day] = RecordIndex(self._days.records(day))
        return found


def _says_something(statement: Statement) -> bool:
    """Whether a statement can be wrong: it names a thing, a place, a number, or two people together."""
    named = {role for role, _ in statement.roles} - {"day", "part"}
    return bool(named - PERSONS) or named == PERSONS


def _pairs(item: Item) -> tuple[tuple[str, Value], ...]:
    """The roles and values of an item."""
    return item.roles if isinstance(item, Statement) else (item,)


def _as_written(sentence: str, language: str) -> Iterator[tuple[str, str]]:
    """The sentence as productions write it, without the final stop and capital, and the family of rules."""
    stop = "." if language == "en" else "。"
    bare = sentence.removesuffix(stop)
    for family in ("s.", "t."):
        yield bare, family
        if language == "en":
            yield bare[:1].lower() + bare[1:], family


def _counters_fit(items: tuple[Item, ...], words: JapaneseWords) -> bool:
    """Whether everything is counted with its own counter."""
    for item in items:
        roles = dict(_pairs(item))
        for count, thing in COUNTED.items():
            counter = roles.get(f"{count}#")
            if counter and thing in roles and not words.counter_fits(count, str(counter), str(roles[thing])):
                return False
    return True
