"""The wording of lessons: the language's productions, chosen by number instead of by chance."""

from shizuku.data.town.facts import Value
from shizuku.data.town.languages import Language
from shizuku.data.town.lesson import Lesson
from shizuku.data.town.randomness import Choices
from shizuku.data.town.voice import Draft
from shizuku.data.town.world import Town


class Teacher:
    """Words lessons in one language about one town."""

    def __init__(self, town: Town, language: Language, seed: int) -> None:
        self.town, self.language, self.seed = town, language, seed
        self.name = language.words.language
        self.unknown = self.sentence("s.lesson.unknown", 0, {})

    def phrasings(self, rule: str) -> int:
        """How many ways there are to put a question."""
        return len(self.language.rules[rule].alternatives)

    def sentence(self, rule: str, number: int, env: dict[str, Value]) -> str:
        """The rule's alternative of that number, as a sentence."""
        draft = Draft(self.town, self.language, Choices(self.seed, "lesson", rule, number), 0)
        draft.honorific = True
        draft.tell_option(rule, number, env)
        return draft.text

    def question(self, ask: str, number: int, env: dict[str, Value]) -> str:
        """The question `ask` in phrasing `number`."""
        question = self.sentence(f"q.lesson.{ask}", number, env)
        return question.removesuffix("。") if number % 2 else question  # as people type

    def lesson(
        self, topic: str, ask: str, number: int, answer: str, env: dict[str, Value],
        said: dict[str, Value] | None = None, fact: str | None = None,
    ) -> Lesson:  # fmt: skip
        """Question `ask` in phrasing `number` about `env`, answered by the rule `answer` about `said`."""
        return Lesson(
            question=self.question(ask, number, env),
            answer=self.sentence(f"s.lesson.{answer}", 0, said or env), language=self.name, topic=topic,
            fact=fact,
        )  # fmt: skip

    def stranger(self, lesson: Lesson, real: str, other: str) -> Lesson:
        """The lesson's question about somebody else, whom nobody knows."""
        return Lesson(
            question=lesson.question.replace(real, other), answer=self.unknown, language=self.name,
            topic="unknown",
        )  # fmt: skip

    def full(self, person: str) -> str:
        """A person's full name, without さん."""
        return self.language.words.tables["person", "full"][person][0]
