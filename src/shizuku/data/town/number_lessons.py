"""Lessons about numbers up to 20: sums in several wordings, shop arithmetic, the order of the numbers."""

from typing import TYPE_CHECKING

from shizuku.data.town.facts import Value
from shizuku.data.town.randomness import Choices
from shizuku.data.town.stock import GOODS

if TYPE_CHECKING:
    from shizuku.data.town.lessons import Lessons, Teacher

LIMIT = 20
LARGEST = 90
"""Lessons add a digit to, and take one from, numbers up to this; no examination has numbers above LIMIT."""
HELD_OUT_FAMILIES = 16
"""Of the 81 families {a, b} with 2 <= a <= b and a + b <= 20."""
ASKED = {"plus": 4, "buy": 2, "minus": 4, "pay": 2}
"""Rule -> how many phrasings it has; buy and pay need two numbers above 0."""


def held_out_families(seed: int) -> frozenset[tuple[int, int]]:
    """The families (a, b), a <= b, whose sums and differences no lesson has."""
    families = [(a, b) for a in range(2, LIMIT // 2 + 1) for b in range(a, LIMIT - a + 1)]
    return frozenset(Choices(seed, "sums").some(families, HELD_OUT_FAMILIES))


def number_lessons(teacher: "Teacher", lessons: "Lessons") -> None:
    """All sums and differences up to 20, but for the held-out families, and the order of the numbers."""
    held = held_out_families(teacher.seed)
    pick = Choices(teacher.seed, "numbers", teacher.name)
    people = [person.id for person in teacher.town.people.values() if not person.held_out]
    for a in range(LIMIT + 1):
        for b in range(LIMIT + 1 - a):
            family = (min(a, b), max(a, b))
            for rule, phrasings in ASKED.items():
                if rule in ("buy", "pay") and not (a and b):
                    continue
                for number in range(phrasings):
                    good, good2 = pick.some(tuple(GOODS), 2)
                    env: dict[str, Value] = {"who": pick.of(people), "good": good, "good2": good2}
                    if rule in ("plus", "buy"):
                        env |= {"total": a, "total2": b, "total3": a + b}
                    else:
                        env |= {"paid": a + b, "total": a, "change": b}
                    lesson = teacher.lesson(rule, rule, number, rule, env)
                    if family in held:
                        lessons.examine("sums", lesson)
                    else:
                        lessons.train.append(lesson)
    for a in range(LIMIT + 1, LARGEST + 1):
        for b in range(1, 10):
            rule = "plus" if pick.chance(0.5) else "minus"
            more: dict[str, Value] = {"total": a, "total2": b, "total3": a + b}
            less: dict[str, Value] = {"paid": a, "total": b, "change": a - b}
            number = pick.below(ASKED[rule])
            lessons.train.append(teacher.lesson(rule, rule, number, rule, more if rule == "plus" else less))
    for a in range(LIMIT):
        after: dict[str, Value] = {"total": a, "total2": a + 1}
        before: dict[str, Value] = {"total": a + 1, "total2": a}
        for topic, pair in (("next", after), ("before", before)):
            lessons.train.append(teacher.lesson(topic, topic, 0, topic, pair))
        for b in pick.some([n for n in range(LIMIT + 1) if n != a], 5):
            both: dict[str, Value] = {"total": a, "total2": b, "total3": max(a, b)}
            lessons.train.append(teacher.lesson("larger", "larger", 0, "larger", both))
