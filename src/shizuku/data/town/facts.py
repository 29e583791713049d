# ruff: noqa: E501 (tables and productions: a long entry is clearer on one line)
"""What is true in the town, as records: a kind, roles with values, and the day (None: always).

The simulation hands over records; a sentence makes statements of the same shape, and a statement holds when some
record of its kind agrees with it in every role that it names. In the table every role is a row of its own.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

Value = str | int

KINDS: dict[str, tuple[str, ...]] = {
    # what stands still
    "town": ("town", "residents"),
    "person": ("who", "family", "gender", "birthday", "birthyear", "job", "workplace", "street", "hobby", "favourite",
               "colour", "trait"),
    "partner": ("who", "whom"),
    "child": ("who", "whom"),
    "children": ("who", "number"),
    "pet": ("who", "pet", "petname"),
    "place": ("place", "street", "avenue", "opens", "closes", "weekday", "founded"),
    "owner": ("place", "who"),
    "sold": ("good", "place"),
    "author": ("book", "who"),
    "needs": ("dish", "good", "count"),
    "dish": ("dish", "minutes", "method"),
    "near": ("place", "place2", "side", "blocks"),
    "way": ("start", "end", "street", "side", "blocks", "avenue", "side2", "blocks2"),
    # what holds on a day
    "weather": ("part", "sky", "degrees"),
    "price": ("good", "place", "yen"),
    "sale": ("good", "place", "yen", "usual"),
    "age": ("who", "years"),
    # what happens on a day
    "purchase": ("who", "good", "count", "place", "unit", "yen", "part"),
    "meet": ("who", "whom", "place", "part"),
    "gift": ("who", "whom", "good", "part"),
    "lose": ("who", "item", "place", "part"),
    "find": ("who", "item", "place", "whom", "part"),
    "cook": ("who", "dish", "part"),
    "practise": ("who", "hobby", "part"),
    "tell": ("who", "whom", "about", "part"),
    "read": ("who", "book", "place", "part"),
    "repair": ("who", "thing", "part"),
    "plant": ("who", "flower", "spot", "part"),
    "see": ("who", "animal", "number", "place", "part"),
    "work": ("who", "task", "part"),
    "eat": ("who", "food", "place", "part"),
    "ill": ("who", "illness", "part"),
    "help": ("who", "whom", "chore", "part"),
    "invite": ("who", "whom", "outing", "part"),
    "win": ("who", "contest", "place", "part"),
    "walk": ("who", "petname", "place", "part"),
    "travel": ("who", "town2", "vehicle", "part"),
    "make": ("who", "craft", "part"),
    "visit": ("who", "place", "part"),
    "write": ("who", "whom", "part"),
    # what arithmetic decides (see sums.py)
    "times": ("count", "unit", "total"),
    "plus": ("total", "total2", "total3"),
    "minus": ("paid", "total", "change"),
    "share": ("total", "people", "each"),
}  # fmt: skip
"""Every kind of record and the roles it has."""

SUMS = ("times", "plus", "minus", "share")
"""Kinds that are true by arithmetic, in every town."""
PERSONS = frozenset({"who", "whom"})
"""The roles that are filled by people."""


@dataclass(frozen=True, slots=True)
class Record:
    """Something true: `id` names it, `roles` say who, what, where; `day` is None for what always holds."""

    id: str
    kind: str
    day: int | None
    roles: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Statement:
    """What a sentence claims: some record of this kind has these values (roles left out may be anything)."""

    kind: str
    roles: tuple[tuple[str, Value], ...]
    sealed: bool = False
    """Said in a clause of its own, so the sentence around it has no roles to lend."""


FACT_SCHEMA = pa.schema(
    [
        ("fact", pa.string()),
        ("day", pa.int32()),
        ("subject", pa.string()),
        ("predicate", pa.string()),
        ("object", pa.string()),
    ]
)


def fact_table(records: Iterable[Record]) -> pa.Table:
    """One row a role: fact id, day or null, record id as subject, `kind.role` as predicate, value as object."""
    facts: list[str] = []
    days: list[int | None] = []
    subjects: list[str] = []
    predicates: list[str] = []
    objects: list[str] = []
    for record in records:
        for role, value in record.roles.items():
            facts.append(f"{record.id}.{role}")
            days.append(record.day)
            subjects.append(record.id)
            predicates.append(f"{record.kind}.{role}")
            objects.append(str(value))
    return pa.table([facts, days, subjects, predicates, objects], schema=FACT_SCHEMA)


class RecordIndex:
    """Records by kind and by each (role, value), to ask whether a statement holds."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._by_kind: dict[str, list[Record]] = {}
        self._by_role: dict[tuple[str, str, Value], list[Record]] = {}
        for record in records:
            self._by_kind.setdefault(record.kind, []).append(record)
            for role, value in record.roles.items():
                self._by_role.setdefault((record.kind, role, value), []).append(record)

    def matching(self, kind: str, roles: Mapping[str, Value]) -> Iterator[Record]:
        """The records of the kind that agree with all the roles."""
        lists = [self._by_role.get((kind, role, value), []) for role, value in roles.items()]
        candidates = min(lists, key=len) if lists else self._by_kind.get(kind, [])
        for record in candidates:
            if all(record.roles.get(role) == value for role, value in roles.items()):
                yield record
