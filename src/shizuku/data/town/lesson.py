"""What a lesson is, and a set of them: some to learn from, some for an examination."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """A question, the answer that counts as exact, and where its truth is."""

    question: str
    answer: str
    language: str
    topic: str
    """What is asked about: a topic of `TOPICS`, plus, minus, buy, pay, unknown, hello …"""
    fact: str | None = None
    """Fact id in facts.parquet of what decides the answer; None where arithmetic does, or nothing can."""


@dataclass(slots=True)
class Lessons:
    """What is taught, and what is examined."""

    train: list[Lesson] = field(default_factory=list)
    held_out: dict[str, list[Lesson]] = field(default_factory=dict)
    """Name of an examination (see the module) -> its questions."""

    def examine(self, name: str, lesson: Lesson) -> None:
        """Keep a lesson for an examination."""
        self.held_out.setdefault(name, []).append(lesson)
