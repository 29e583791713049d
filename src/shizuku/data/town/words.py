# ruff: noqa: E501 (tables and productions: a long entry is clearer on one line)
"""How a language puts a role's value into words, and finds the value again: tables, and numbers in digits."""

import re
from collections.abc import Iterable
from typing import Protocol

from shizuku.data.town.grammar import Env, Reading
from shizuku.data.town.randomness import Choices

ROLE_TYPES: dict[str, str] = {
    "who": "person", "whom": "person", "place2": "place", "workplace": "place", "count": "number",
    "yen": "money", "unit": "money", "usual": "money", "total": "money", "total2": "money", "total3": "money", "paid": "money", "change": "money",
    "thing": "thing", "flower": "good", "food": "good", "favourite": "good", "avenue": "street",
    "opens": "clock", "closes": "clock", "founded": "year", "birthyear": "year", "residents": "number",
    "years": "number", "minutes": "number", "blocks": "number", "degrees": "number", "more": "number",
    "sum": "number", "less": "number", "people": "number", "each": "number", "blocks2": "number", "side2": "side",
    "street2": "street", "good2": "good", "goods3": "good", "count2": "number", "start": "place", "end": "place",
}  # fmt: skip
"""The type of each role that is not its own type."""


class Speaker(Protocol):
    """The words' view of the writer: its choices and the conversation it is in."""

    choices: Choices

    def person(self, value: str, form: str) -> str:
        """A person in words, as fits the moment."""


Table = dict[str | int, tuple[str, ...]]


class Words:
    """One language's words for one town; a subclass fills `tables` with (type, form) -> value -> surfaces."""

    language = ""

    def __init__(self) -> None:
        self.tables: dict[tuple[str, str], Table] = {}
        self.numbers: dict[tuple[str, str], tuple[str, str]] = {}
        self.paired: dict[tuple[str, str], tuple[str, str]] = {}
        self._inverse: dict[tuple[str, str], tuple[dict[str, list[str | int]], list[int]]] = {}

    def table(self, kind: str, form: str, entries: dict[str, str] | dict[int, str]) -> None:
        """A table of surfaces: `a/b` are two ways to say the same."""
        self.tables[kind, form] = {value: tuple(text.split("/")) for value, text in entries.items()}

    def say(self, role: str, form: str, env: Env, speaker: Speaker) -> str:
        """The role's value in words; a choice among synonyms is the speaker's."""
        kind = ROLE_TYPES.get(role, role)
        value = env[role]
        if kind == "person":
            return speaker.person(value, form)
        if (kind, form) in self.numbers:
            before, after = self.numbers[kind, form]
            return f"{before}{value:,}{after}" if kind == "money" else f"{before}{value}{after}"
        if (kind, form) in self.paired:
            return self.pair(kind, form, env[self.paired[kind, form][0]], value)
        surfaces = self.tables[kind, form][value]
        return surfaces[0] if len(surfaces) == 1 else speaker.choices.of(surfaces)

    def pair(self, kind: str, form: str, partner: str | int, value: str | int) -> str:
        """Words for a value that depend on another role's value (a count and what is counted)."""
        raise NotImplementedError

    def read(self, role: str, form: str, text: str, position: int) -> list[Reading]:
        """Every reading of the role at the position."""
        kind = ROLE_TYPES.get(role, role)
        if (kind, form) in self.numbers:
            before, after = self.numbers[kind, form]
            return _read_number(role, before, after, text, position)
        if (kind, form) in self.paired:
            return self.read_pair(kind, form, role, text, position)
        known, lengths = self._inverted(kind, form)
        readings: list[Reading] = []
        for length in lengths:
            for value in known.get(text[position : position + length], ()):
                readings.append((position + length, ((role, value),) if value != "" else ()))
        return readings

    def read_pair(self, kind: str, form: str, role: str, text: str, position: int) -> list[Reading]:
        """Every reading of a value said together with another role's."""
        raise NotImplementedError

    def _inverted(self, kind: str, form: str) -> tuple[dict[str, list[str | int]], list[int]]:
        inverse = self._inverse.get((kind, form))
        if inverse is None:
            known: dict[str, list[str | int]] = {}
            for value, surfaces in self.tables[kind, form].items():
                for surface in surfaces:
                    known.setdefault(surface, []).append(value)
            inverse = self._inverse[kind, form] = known, lengths_of(known)
        return inverse


def lengths_of(surfaces: Iterable[str]) -> list[int]:
    """The different lengths, longest first."""
    return sorted({len(surface) for surface in surfaces}, reverse=True)


_DIGITS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?!\d)|-?\d+")


def _read_number(role: str, before: str, after: str, text: str, position: int) -> list[Reading]:
    if not text.startswith(before, position):
        return []
    found = _DIGITS.match(text, position + len(before))
    if not found or not text.startswith(after, found.end()):
        return []
    return [(found.end() + len(after), ((role, int(found.group().replace(",", ""))),))]
