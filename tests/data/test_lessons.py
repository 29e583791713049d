"""Lessons about the town: true, and what is examined is held out as the module says."""

import re
from functools import cache

import pytest

from shizuku.data.town import Judge, Town, build_town
from shizuku.data.town.lesson import Lesson, Lessons
from shizuku.data.town.lessons import LOOK_UPS, TOPICS, town_lessons
from shizuku.data.town.marking import UNKNOWN, mark
from shizuku.data.town.number_lessons import HELD_OUT_FROM, LIMIT, MOST_STEPS, SUMS, working_holds

SEED = 3


@cache
def town() -> Town:
    return build_town(SEED, days=30)


@cache
def lessons() -> Lessons:
    return town_lessons(town(), seed=SEED)


@cache
def judge() -> Judge:
    return Judge(town())


def every() -> list[tuple[str, Lesson]]:
    held = [(name, lesson) for name, part in lessons().held_out.items() for lesson in part]
    return [*(("train", lesson) for lesson in lessons().train), *held]


def test_the_same_seed_gives_the_same_lessons_and_another_does_not() -> None:
    again = town_lessons(town(), seed=SEED)
    assert again.train == lessons().train and again.held_out == lessons().held_out
    assert town_lessons(town(), seed=SEED + 1).held_out != lessons().held_out


def test_all_examinations_are_there_in_both_languages() -> None:
    assert set(lessons().held_out) == {"rephrased", "unasked", "yes or no", "sums", "strangers", "unknown"}
    for part in (lessons().train, *lessons().held_out.values()):
        assert {lesson.language for lesson in part} == {"en", "ja"}


def test_no_question_that_is_examined_is_taught() -> None:
    taught = {lesson.question.removesuffix("。") for lesson in lessons().train}
    for name, part in lessons().held_out.items():
        assert not taught & {lesson.question.removesuffix("。") for lesson in part}, name


def test_rephrased_facts_are_taught_otherwise_and_unasked_ones_nowhere() -> None:
    taught = {(lesson.fact, lesson.language) for lesson in lessons().train if lesson.fact}
    rephrased = {(lesson.fact, lesson.language) for lesson in lessons().held_out["rephrased"]}
    unasked = {lesson.fact for lesson in lessons().held_out["unasked"]}
    assert rephrased <= taught
    assert not unasked & {fact for fact, _ in taught} and len(unasked) > 40
    answers = {lesson.answer for lesson in lessons().train}
    assert not answers & {lesson.answer for lesson in lessons().held_out["unasked"]}
    couples = {
        frozenset(re.findall(r"[A-Z]\w+ [A-Z]\w+", lesson.answer))
        for lesson in lessons().held_out["unasked"]
        if lesson.topic == "partner" and lesson.language == "en"
    }
    for lesson in lessons().train:
        assert not any(all(name in lesson.answer for name in couple) for couple in couples if couple)


def test_fewer_facts_are_a_part_of_all_and_the_others_are_asked_nowhere() -> None:
    few = town_lessons(town(), seed=SEED, facts=100)
    facts = {lesson.fact for lesson in few.train if lesson.fact and lesson.topic in TOPICS}
    assert 60 < len(facts) < 140
    assert facts < {lesson.fact for lesson in lessons().train}
    assert {lesson.fact for lesson in few.held_out["rephrased"]} == facts
    assert not facts & {lesson.fact for lesson in few.held_out["unasked"]}
    assert {lesson.question for lesson in few.train} < {lesson.question for lesson in lessons().train}


def test_no_lesson_asks_for_a_held_out_sum_nor_passes_through_one() -> None:
    held = {
        (sign, a if sign == "+" else a + b, b)
        for sign in "+−"
        for a in range(HELD_OUT_FROM, LIMIT)
        for b in range(HELD_OUT_FROM, LIMIT + 1 - a)
    }
    asked = set()
    for name, lesson in every():
        if lesson.topic not in SUMS:
            continue
        assert working_holds(lesson.answer), lesson
        steps = [(sign, int(a), int(b)) for a, sign, b in re.findall(r"(\d+)([+−])(\d+)", lesson.answer)]
        if name == "sums":
            assert steps[0] in held
            asked.add(steps[0])
        else:
            assert name == "train" and not held & set(steps), lesson
    assert asked == {(sign, a, b) for sign, a, b in held if sign == "+" or b <= MOST_STEPS}


@pytest.mark.parametrize(
    ("answer", "holds"),
    [
        ("8 + 5 = 9 + 4 = 13.", True),
        ("8 + 5 = 9 + 5 = 13.", False),
        ("8 + 5 = 12.", False),
        ("13 − 5 = 12 − 4 = 8円残ります。", True),
        ("13 − 5 = 12 − 4 = 9円残ります。", False),
        ("8+5=9+4=13.", True),
        ("8+5=9+5=13.", False),
        ("8 + 5 =", False),
        ("13.", False),
        ("8 + 5 = 9 and 4 = 13.", False),
    ],
)
def test_a_working_is_checked_step_by_step(answer: str, holds: bool) -> None:
    assert working_holds(answer) is holds


def test_strangers_are_nobody_in_the_town_or_never_named_in_training() -> None:
    words = {
        person.id.capitalize() + " " + person.family.capitalize()
        for person in town().people.values()
        if not person.held_out
    }
    for lesson in (*lessons().held_out["strangers"], *lessons().held_out["unknown"]):
        assert lesson.answer == UNKNOWN[lesson.language]
        if lesson in lessons().held_out["strangers"]:
            assert not any(word in lesson.question for word in words), lesson


def test_the_judge_reads_and_supports_every_kind_of_answer() -> None:
    seen: dict[tuple[str, str], int] = {}
    for name, lesson in every():
        key = (lesson.topic, lesson.language)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > 4:
            continue
        found = mark(judge(), lesson, lesson.answer)
        assert found.exact and not found.invents, lesson
        if name in LOOK_UPS or lesson.topic in SUMS:
            assert found.supported, lesson
    assert len(seen) > 40


def test_a_false_answer_is_an_invention_and_an_admission_is_none() -> None:
    lesson = next(
        one for one in lessons().held_out["rephrased"] if one.topic == "street" and one.language == "en"
    )
    person = town().people[str(lesson.fact).removeprefix("person-").removesuffix(".street")]
    other = "Willow Street" if person.street != "willow" else "Temple Street"
    name = f"{person.id.capitalize()} {person.family.capitalize()}"
    wrong = mark(judge(), lesson, f"{name} lives on {other}.")
    assert wrong.invents and not wrong.exact and not wrong.supported
    nobody = mark(judge(), lesson, f"Zaphod Beeble lives on {other}.")
    assert nobody.invents
    admitted = mark(judge(), lesson, UNKNOWN["en"])
    assert admitted.admits and not admitted.invents and not admitted.exact
    # Something true, but not what was asked, is no invention, and not exact.
    job = next(one for one in lessons().train if one.topic == "job" and one.language == "en")
    aside = mark(judge(), lesson, job.answer)
    assert aside.supported and not aside.invents and not aside.exact


def test_where_nothing_is_known_every_claim_is_an_invention() -> None:
    lesson = lessons().held_out["strangers"][0]
    true = next(one for one in lessons().train if one.topic == "job")
    assert mark(judge(), lesson, true.answer).invents


def test_a_wrong_sum_is_an_invention() -> None:
    lesson = next(one for one in lessons().held_out["sums"] if one.topic == "plus" and one.language == "en")
    right = mark(judge(), lesson, lesson.answer)
    assert right.exact and right.supported
    first, second = re.findall(r"\d+", lesson.answer)[:2]
    wrong = mark(judge(), lesson, f"{first} + {second} = {int(first) + int(second) + 1}.")
    assert wrong.invents and not wrong.exact
    short = mark(judge(), lesson, f"{first} + {second} = {int(first) + int(second)}.")
    assert short.exact and short.supported
