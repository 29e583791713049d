"""The examination: held-out questions to the tuned model and its base, marked against the facts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from shizuku.checkpoints.directory import load_checkpoint
from shizuku.data.exercises import CLOSED
from shizuku.data.town import Judge, build_town
from shizuku.data.town.lesson import Lesson
from shizuku.data.town.lessons import LOOK_UPS
from shizuku.data.town.marking import Mark, mark
from shizuku.data.town.randomness import Choices
from shizuku.life.curriculum import conversation, school
from shizuku.life.making import BASE, CHECKPOINT
from shizuku.life.settings import LifeConfig
from shizuku.tuning.answers import Answer, answers_of

QUESTIONS, QUESTIONS_A_MINUTE = 300, 60
"""Held-out questions of each examination at most, drawn by the life's seed."""
OF_BASE = 24
AT_ONCE = 64
ANSWER_TOKENS = 100
"""Enough for the longest working of a sum."""
SHOWN = 3


def ask(config: LifeConfig, days: int | None, facts: int | None) -> dict[str, Any]:
    """Ask what was held out: how much is exact, ends by itself, is true, or is made up.

    `facts` is how many of the town's were to be taught.
    """
    pick = Choices(config.seed, "examination")
    _, held_out = school(config, days, facts)
    most = min(QUESTIONS, math.ceil(QUESTIONS_A_MINUTE * config.minutes))
    drawn = {name: pick.some(lessons, most) for name, lessons in sorted(held_out.items())}
    few = [lesson for lessons in drawn.values() for lesson in lessons[: -(-OF_BASE // len(drawn))]]
    before = _answers(config, BASE, few)
    judge = Judge(build_town(config.seed, days=days)) if days is not None else None
    answers = iter(_answers(config, CHECKPOINT, [lesson for part in drawn.values() for lesson in part]))
    examinations, samples = {}, []
    for name, lessons in drawn.items():
        given = [next(answers) for _ in lessons]
        examinations[name] = _examined(judge, lessons, given)
        samples += _samples(name, lessons, given)
    exact_before = sum(a.text.strip() == lesson.answer for a, lesson in zip(before, few, strict=True))
    return {
        "examinations": examinations,
        "base": {
            "questions": len(few),
            "exact": exact_before / len(few),
            "stops": sum(one.stopped for one in before) / len(few),
        },
        "samples": samples,
        "summary": _summary(examinations),
    }


def _answers(config: LifeConfig, name: str, lessons: Sequence[Lesson]) -> list[Answer]:
    found = load_checkpoint(config.out / name)
    assert found.tokenizer is not None, "a life saves its models with a tokenizer"
    asked = [conversation(lesson) for lesson in lessons]
    return answers_of(found.model, found.tokenizer, asked, max_new_tokens=ANSWER_TOKENS, at_once=AT_ONCE)


def _examined(judge: Judge | None, lessons: Sequence[Lesson], answers: Sequence[Answer]) -> dict[str, Any]:
    """Shares of one examination; what is true or made up only the town's judge can tell."""
    number = len(lessons)
    result: dict[str, Any] = {
        "questions": number,
        "stops": sum(answer.stopped for answer in answers) / number,
    }
    if judge is None:
        exact = sum(a.text.strip() == one.answer for a, one in zip(answers, lessons, strict=True))
        return {**result, "exact": exact / number}
    marks: list[Mark] = [mark(judge, one, a.text) for one, a in zip(lessons, answers, strict=True)]
    return {
        **result,
        "exact": sum(one.exact for one in marks) / number,
        "supported": sum(one.supported for one in marks) / number,
        "admits": sum(one.admits for one in marks) / number,
        "invents": sum(one.invents for one in marks) / number,
    }


def _samples(name: str, lessons: Sequence[Lesson], answers: Sequence[Answer]) -> list[dict[str, str]]:
    """The first answers of each language: they were drawn, not picked."""
    shown = []
    for language in sorted({lesson.language for lesson in lessons}):
        pairs = [(one, a) for one, a in zip(lessons, answers, strict=True) if one.language == language]
        for lesson, answer in pairs[:SHOWN]:
            shown.append(
                {
                    "examination": name,
                    "question": lesson.question,
                    "answer": answer.text,
                    "expected": lesson.answer,
                }
            )
    return shown


def _summary(examinations: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The figures of `--json`: means over questions."""

    def mean(key: str, names: Sequence[str]) -> float:
        some = [examinations[name] for name in names if name in examinations]
        return sum(e[key] * e["questions"] for e in some) / max(sum(e["questions"] for e in some), 1)

    every = list(examinations)
    summary = {"questions": sum(e["questions"] for e in examinations.values()), "stops": mean("stops", every)}
    if "sums" in examinations:
        asked = {"exact_sums": ("sums",), "exact_rephrased": ("rephrased",), "exact_unasked": ("unasked",)}
        summary |= {name: mean("exact", some) for name, some in asked.items()}
        summary |= {"supported": mean("supported", LOOK_UPS), "invents": mean("invents", every)}
    else:
        summary["exact"] = mean("exact", CLOSED)
    return summary
