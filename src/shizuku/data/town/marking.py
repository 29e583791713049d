"""Marking an answer to a lesson: exact, true, an admission, or an invention."""

from dataclasses import dataclass

from shizuku.data.town.judge import Judge
from shizuku.data.town.lesson import Lesson
from shizuku.data.town.number_lessons import SUMS, result_of, working_holds

UNKNOWN = {"en": "I do not know.", "ja": "わかりません。"}
ANY_DAY = 0
"""Answers tell of what always holds, so it does not matter which day the judge looks at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """What an answer is worth."""

    exact: bool
    """It is the lesson's answer, character for character (of a sum: what stands behind the last =)."""
    supported: bool
    """It claims something, and the facts (or arithmetic) support all of it."""
    admits: bool
    """It says that one does not know."""

    @property
    def invents(self) -> bool:
        """It says something that is neither the answer, nor supported, nor an admission: the facts contradict
        it, it names somebody who does not exist, or it can't be read.
        """
        return not (self.exact or self.supported or self.admits)


def mark(judge: Judge, lesson: Lesson, answer: str) -> Mark:
    """Mark an answer; where the right answer is that one does not know, no claim counts as supported."""
    answer = answer.strip()
    admits = answer == UNKNOWN[lesson.language]
    supported = False
    if lesson.topic in SUMS:
        exact = result_of(answer) == result_of(lesson.answer)
        return Mark(exact=exact, supported=working_holds(answer), admits=admits)
    if lesson.answer != UNKNOWN[lesson.language] and not admits:
        verdicts = judge.check(answer, lesson.language, ANY_DAY)
        supported = verdicts.accepted == 1.0 and verdicts.supported == 1.0
    return Mark(exact=answer == lesson.answer, supported=supported, admits=admits)
