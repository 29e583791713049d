"""Lessons about numbers: sums up to 20 and a little beyond, worked out by counting, and the numbers' order.

A sum is worked out in steps that a small model can learn, each a true equation: the smaller number gives one
to the larger (8+5=9+4=10+3=11+2=12+1=13), or both lose one (13−5=12−4=…=8). Without spaces a step has half
as many tokens.

Held out are all sums up to 20 of two numbers of `HELD_OUT_FROM` or more, and the differences that belong to
them. A working never passes through one of them unless it begins with one: steps make the smaller number
smaller, and lessons with larger numbers stay above 20.
"""

import re

from shizuku.data.town.facts import Value
from shizuku.data.town.lesson import Lesson, Lessons
from shizuku.data.town.randomness import Choices
from shizuku.data.town.stock import GOODS
from shizuku.data.town.teacher import Teacher

LIMIT = 20
HELD_OUT_FROM = 6
MOST_STEPS = 10
"""Numbers up to this are taken away; the smaller of two numbers whose sum is up to 20 is never larger."""
LARGEST = 79
SHARE_OF_LARGE = 0.3
"""Sums with numbers above 20 are taught in part: enough to count from any number."""
SUMS = ("plus", "buy", "minus", "pay")
ENDS = {
    ("plus", "en"): ".", ("minus", "en"): ".", ("plus", "ja"): "です。", ("minus", "ja"): "です。",
    ("buy", "en"): " yen in all.", ("pay", "en"): " yen left.", ("buy", "ja"): "円になります。",
    ("pay", "ja"): "円残ります。",
}  # fmt: skip
"""What stands behind the result of a sum of a kind in a language."""
_TERM = re.compile(r"(\d+)(?: ?([+−]) ?(\d+))?")
_EQUALS = re.compile(r" ?= ?")


def is_held_out(sign: str, first: int, second: int) -> bool:
    """Whether no lesson asks for `first` + or − `second`, and no working passes through it."""
    other, total = (second, first + second) if sign == "+" else (first - second, first)
    one = first if sign == "+" else second
    return total <= LIMIT and min(one, other) >= HELD_OUT_FROM


def working(sign: str, first: int, second: int) -> list[str]:
    """The steps of a sum, from the question to the result."""
    steps = [f"{first}{sign}{second}"]
    if sign == "+" and first < second:
        first, second = second, first
        steps.append(f"{first}{sign}{second}")
    while second > 1:
        first, second = first + (1 if sign == "+" else -1), second - 1
        steps.append(f"{first}{sign}{second}")
    return [*steps, str(first + second if sign == "+" else first - second)]


def working_holds(answer: str) -> bool:
    """Whether an answer is a chain of true equations, whatever stands behind its last number."""
    values = set()
    parts = _EQUALS.split(answer)
    for number, part in enumerate(parts):
        found = _TERM.match(part) if number == len(parts) - 1 else _TERM.fullmatch(part)
        if found is None:
            return False
        one, sign, other = int(found[1]), found[2], int(found[3] or 0)
        values.add(one - other if sign == "−" else one + other)
    return len(parts) > 1 and len(values) == 1


def result_of(answer: str) -> str:
    """What stands behind the last = of a worked sum."""
    return _EQUALS.split(answer)[-1]


def number_lessons(teacher: Teacher, lessons: Lessons) -> None:
    """Sums and differences in two plain wordings and a shop's, and which number comes after which."""
    pick = Choices(teacher.seed, "numbers", teacher.name)
    for sign, first, second in _all_sums():
        plain, shop = ("plus", "buy") if sign == "+" else ("minus", "pay")
        held = is_held_out(sign, first, second)
        numbers = range(teacher.phrasings(f"q.lesson.{plain}"))
        rules = [(plain, number) for number in (numbers if held else pick.some(numbers, 3))]
        if first and second and first != second:
            rules.append((shop, pick.below(2)))
        if max(first, second) > LIMIT:
            rules = [pick.of(rules)] if pick.chance(SHARE_OF_LARGE) else []
        for rule, number in rules:
            lesson = _sum(teacher, pick, rule, number, (sign, first, second))
            if held:
                lessons.examine("sums", lesson)
            else:
                lessons.train.append(lesson)
    for a in range(LIMIT):
        after: dict[str, Value] = {"total": a, "total2": a + 1}
        before: dict[str, Value] = {"total": a + 1, "total2": a}
        for topic, pair in (("next", after), ("before", before)):
            lessons.train.append(teacher.lesson(topic, topic, 0, topic, pair))
        for b in pick.some([n for n in range(LIMIT + 1) if n != a], 5):
            both: dict[str, Value] = {"total": a, "total2": b, "total3": max(a, b)}
            lessons.train.append(teacher.lesson("larger", "larger", 0, "larger", both))


def _all_sums() -> list[tuple[str, int, int]]:
    """Every sum up to 20 and difference within it, and numbers above 20 with up to ten more or less.

    The sums with the larger number behind teach to turn them round with any smaller number.
    """
    pairs = [(a, b) for a in range(LIMIT + 1) for b in range(LIMIT + 1)]
    sums = [("+", a, b) for a, b in pairs if a + b <= LIMIT]
    sums += [("−", a, b) for a, b in pairs if b <= min(a, MOST_STEPS)]
    for a in range(LIMIT + 1, LARGEST + 1):
        sums += [("+", *pair) for b in range(1, MOST_STEPS + 1) for pair in ((a, b), (b, a))]
        sums += [("−", a, b) for b in range(1, MOST_STEPS + 1) if a - b > LIMIT]
    return sums


def _sum(teacher: Teacher, pick: Choices, rule: str, number: int, asked: tuple[str, int, int]) -> Lesson:
    sign, first, second = asked
    good, good2 = pick.some(tuple(GOODS), 2)
    people = [person.id for person in teacher.town.people.values() if not person.held_out]
    env: dict[str, Value] = {"who": pick.of(people), "good": good, "good2": good2}
    env |= {"total": first, "total2": second} if sign == "+" else {"paid": first, "total": second}
    return Lesson(
        question=teacher.question(rule, number, env),
        answer="=".join(working(sign, first, second)) + ENDS[rule, teacher.name],
        language=teacher.name,
        topic=rule,
    )
