"""What a life teaches and examines: questions about the town's facts, or exercises out of the text."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from shizuku.data.exercises import exercises
from shizuku.data.town import build_town
from shizuku.data.town.lesson import Lesson
from shizuku.data.town.lessons import town_lessons
from shizuku.data.town.randomness import Choices
from shizuku.life.corpus import HELDOUT, TRAIN, documents_of
from shizuku.life.settings import LifeConfig
from shizuku.tuning.examples import Conversation

TURNS = 3
"""Questions in a conversation at most."""
MOST_EXERCISES = 40_000
WORDED, WORDED_TIMES = 4_000, 3
"""Exercises that the merges of a vocabulary are counted on, and how often each lesson is for that: so that
roles, names and shops are whole tokens, which are easier to copy and to know something about.
"""


def school(
    config: LifeConfig, days: int | None, facts: int | None = None
) -> tuple[list[Lesson], dict[str, list[Lesson]]]:
    """What is taught and what is examined.

    `days` is how long the town is told of, None for other texts; `facts` of its facts, at most, are taught.
    """
    if days is not None:
        lessons = town_lessons(build_town(config.seed, days=days), seed=config.seed, facts=facts)
        return lessons.train, lessons.held_out
    taught = list(islice(_exercises(config, TRAIN), MOST_EXERCISES))
    examined: dict[str, list[Lesson]] = {}
    for lesson in islice(_exercises(config, HELDOUT), MOST_EXERCISES // 20):
        examined.setdefault(lesson.topic, []).append(lesson)
    return taught, examined


def wording(config: LifeConfig, days: int | None) -> Iterator[str]:
    """Conversations as text, for the vocabulary: what is taught, nothing that is examined."""
    taught = school(config, days)[0] if days is not None else list(islice(_exercises(config, TRAIN), WORDED))
    for _ in range(WORDED_TIMES):
        for lesson in taught:
            yield f"user\n{lesson.question}\nassistant\n{lesson.answer}"


def conversations(lessons: Sequence[Lesson], *, seed: int) -> list[Conversation]:
    """The lessons in random order as conversations of one to three questions in one language."""
    pick = Choices(seed, "conversations")
    found: list[Conversation] = []
    for language in sorted({lesson.language for lesson in lessons}):
        rest = pick.shuffled([lesson for lesson in lessons if lesson.language == language])
        start = 0
        while start < len(rest):
            size = pick.between(1, TURNS)
            found.append(conversation(*rest[start : start + size]))
            start += size
    return found


def conversation(*lessons: Lesson) -> Conversation:
    """Questions and answers, one after another."""
    turns = []
    for lesson in lessons:
        turns.append({"role": "user", "content": lesson.question})
        turns.append({"role": "assistant", "content": lesson.answer})
    return Conversation(turns)


def _exercises(config: LifeConfig, part: str) -> Iterator[Lesson]:
    path: Path = config.out / "data" / part
    for one in exercises(documents_of(path), seed=config.seed):
        yield Lesson(question=one.question, answer=one.answer, language="", topic=one.family)
