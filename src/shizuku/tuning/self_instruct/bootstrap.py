"""The loop of self-instruct: new instructions, their kind, their instances, round after round.

Every step follows from the settings, the seeds and the answers of the generator: a round's prompts are drawn
by (seed, number of the request) from what earlier rounds kept, and answers count in the order in which they
were asked, not in that in which they came.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from shizuku.errors import ConfigError
from shizuku.text.likeness import Pool, word_count
from shizuku.tuning.self_instruct.filters import instruction_fault, sound_instances
from shizuku.tuning.self_instruct.generators import Answer, Generator, Question
from shizuku.tuning.self_instruct.journal import Journal
from shizuku.tuning.self_instruct.prompts import (
    WORDINGS,
    Prompt,
    instances_prompt,
    kind_prompt,
    read_instances,
    read_instructions,
    read_kind,
    tasks_prompt,
)
from shizuku.tuning.self_instruct.settings import SelfInstructConfig
from shizuku.tuning.self_instruct.tasks import Instance, Task

T = TypeVar("T")

MOST_SHOWN_WORDS = 80
"""Seeds longer than this, with all their instances, are not shown as examples: they would fill the window."""
KIND_TOKENS = 8
TOO_ALIKE = "too much like another"


@dataclass(frozen=True, slots=True)
class Dropped:
    """An instruction that was not kept."""

    id: str
    """The request and its place in the answer."""
    text: str
    """The instruction."""
    reason: str
    """Why."""
    likeness: float | None = None
    """ROUGE-L to the nearest, where that was the reason."""
    nearest: str | None = None
    """The nearest instruction."""


@dataclass(slots=True)
class Made:
    """What a run has made so far."""

    tasks: list[Task] = field(default_factory=list)
    """Kept tasks with at least one instance, in order."""
    bare: list[Task] = field(default_factory=list)
    """Kept instructions for which no instance was of use."""
    dropped: list[Dropped] = field(default_factory=list)
    """Instructions that were not kept."""
    dropped_instances: Counter[str] = field(default_factory=Counter)
    """Instances that were not kept, by reason."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Answers about the kind: classification, other, unclear (taken for other)."""
    requests: int = 0
    """Requests that were made."""
    rounds: int = 0
    """Rounds that were done."""
    ended: str = "tasks"
    """Why it ended: enough `tasks`, the limit of `requests`, or `patience`."""

    @property
    def reasons(self) -> Counter[str]:
        """How many instructions were dropped for each reason."""
        return Counter(one.reason for one in self.dropped)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instruction that was kept and has no instances yet."""

    line: str
    id: str
    likeness: float


class Bootstrap:
    """A run of self-instruct."""

    def __init__(
        self, config: SelfInstructConfig, seeds: Sequence[Task], generator: Generator, journal: Journal
    ) -> None:
        """Begin with `seeds`; ConfigError if they are too few to be shown."""
        self.config, self.words = config, WORDINGS[config.language]
        self._seeds, self._generator, self._journal = seeds, generator, journal
        if len(seeds) < config.human:
            raise ConfigError(f"--human {config.human}: there are only {len(seeds)} seeds")
        self._short = [task for task in seeds if task.instances and _words(task) <= MOST_SHOWN_WORDS]
        self._lines = [task.line for task in seeds]
        self._made_lines: list[str] = []
        self._pool = Pool(self._lines)
        self.made = Made()

    def run(self, on_round: Callable[[Made], None] = lambda made: None) -> Made:
        """Make tasks until one of the limits is met; `on_round` is told after each round."""
        made, fruitless = self.made, 0
        while len(made.tasks) < self.config.tasks:
            if self.config.requests is not None and made.requests >= self.config.requests:
                made.ended = "requests"
                break
            if fruitless >= self.config.patience:
                made.ended = "patience"
                break
            before = len(made.tasks)
            self._round()
            fruitless = 0 if len(made.tasks) > before else fruitless + 1
            on_round(made)
        del made.tasks[self.config.tasks :]
        return made

    def _round(self) -> None:
        kept = self._new_instructions()
        kinds = self._kinds(kept)
        self._instances(kept, kinds)
        self.made.rounds += 1

    # ---- the three kinds of requests

    def _new_instructions(self) -> list[Candidate]:
        kept: list[Candidate] = []
        for number, answer in self._ask([self._tasks_question for _ in range(self.config.batch)]):
            found, cut = read_instructions(self.words, answer.text, cut=answer.cut)
            for place, text in enumerate(found[: self.config.wanted]):
                candidate = self._sifted(f"{number}.{place}", text)
                kept += [] if candidate is None else [candidate]
            if cut:
                self.made.dropped.append(Dropped(f"{number}.{len(found)}", "", "cut off by the limit"))
        return kept

    def _sifted(self, id: str, text: str) -> Candidate | None:
        """The instruction, if it may be kept; it is then in the pool."""
        fault = instruction_fault(text)
        if fault is not None:
            self.made.dropped.append(Dropped(id, text, fault))
            return None
        nearest = self._pool.nearest(text)
        if nearest.score >= self.config.likeness:
            lines = [*self._lines, *self._made_lines]
            self.made.dropped.append(Dropped(id, text, TOO_ALIKE, nearest.score, lines[nearest.index]))
            return None
        self._pool.add(text)
        self._made_lines.append(text)
        return Candidate(text, id, nearest.score)

    def _kinds(self, candidates: Sequence[Candidate]) -> list[bool]:
        found = []
        for _, answer in self._ask([self._kind_question(one) for one in candidates]):
            kind = read_kind(self.words, answer.text)
            self.made.kinds["unclear" if kind is None else "classification" if kind else "other"] += 1
            found.append(bool(kind))
        return found

    def _instances(self, candidates: Sequence[Candidate], kinds: Sequence[bool]) -> None:
        pairs = list(zip(candidates, kinds, strict=True))
        asked = self._ask([self._instances_question(one, kind) for one, kind in pairs])
        for (one, kind), (_, answer) in zip(pairs, asked, strict=True):
            found, incomplete = read_instances(self.words, answer.text, labels_first=kind, cut=answer.cut)
            sound, dropped = sound_instances(one.line, found, most=self.config.instances)
            self.made.dropped_instances += dropped + Counter({"incomplete": incomplete})
            task = Task(one.line, kind, tuple(sound), one.id, one.likeness)
            (self.made.tasks if sound else self.made.bare).append(task)

    # ---- what is asked

    def _tasks_question(self, number: int) -> Question:
        draw = self._draw(number)
        made = draw.sample(self._made_lines, min(self.config.made, len(self._made_lines)))
        human = draw.sample(
            self._lines, min(self.config.human + self.config.made - len(made), len(self._lines))
        )
        shown = [*human, *made]
        draw.shuffle(shown)
        return self._fitted(number, shown, lambda some: tasks_prompt(self.words, some, self.config.wanted))

    def _kind_question(self, candidate: Candidate) -> Callable[[int], Question]:
        def question(number: int) -> Question:
            draw = self._draw(number)
            half = self.config.shown // 2
            shown = [
                one
                for kind, count in ((True, half), (False, self.config.shown - half))
                for one in _sample(draw, [t for t in self._short if t.classification == kind], count)
            ]
            draw.shuffle(shown)
            return self._fitted(
                number, shown, lambda some: kind_prompt(self.words, some, candidate.line), KIND_TOKENS, 0.0
            )

        return question

    def _instances_question(self, candidate: Candidate, kind: bool) -> Callable[[int], Question]:
        def question(number: int) -> Question:
            alike = [task for task in self._short if task.classification == kind]
            shown = _sample(self._draw(number), alike, self.config.shown)
            return self._fitted(
                number,
                shown,
                lambda some: instances_prompt(self.words, some, candidate.line, labels_first=kind),
            )

        return question

    def _fitted(
        self,
        number: int,
        shown: Sequence[T],
        prompt: Callable[[Sequence[T]], Prompt],
        new_tokens: int | None = None,
        temperature: float | None = None,
    ) -> Question:
        """The question with as many of the examples as the window has room for."""
        limit = self.config.max_new_tokens if new_tokens is None else new_tokens
        for count in range(len(shown), -1, -1):
            made = prompt(shown[:count])
            if self._generator.fits(made.text, limit):
                warmth = self.config.temperature if temperature is None else temperature
                return Question(number, made, limit, warmth)
        raise ConfigError(
            f"--max-new-tokens {limit}: not even a prompt without examples fits the window beside it: "
            "ask for less, or take a model with a longer window"
        )

    def _draw(self, number: int) -> random.Random:
        return random.Random(f"{self.config.seed}/{number}")

    # ---- asking

    def _ask(self, questions: Sequence[Callable[[int], Question]]) -> list[tuple[int, Answer]]:
        """The answers in the order of the questions, from the journal as far as it has them."""
        first = self.made.requests
        asked = [make(first + place) for place, make in enumerate(questions)]
        self.made.requests += len(asked)
        answers = {one.number: self._journal.answer(one) for one in asked}
        missing = [one for one in asked if answers[one.number] is None]
        for start in range(0, len(missing), self.config.batch):
            for question, answer in self._generator.answers(missing[start : start + self.config.batch]):
                self._journal.add(question, answer)
                answers[question.number] = answer
        found = []
        for one in asked:
            given = answers[one.number]
            assert given is not None, f"request {one.number} was asked and not answered"
            found.append((one.number, given))
        return found


def _words(task: Task) -> int:
    shown: list[Instance] = list(task.instances[:3])
    return word_count(task.instruction) + sum(word_count(one.input) + word_count(one.output) for one in shown)


def _sample(draw: random.Random, items: Sequence[T], count: int) -> list[T]:
    return draw.sample(items, min(count, len(items)))
