"""A document being written: who speaks, who was just spoken of, and the lines so far."""

from shizuku.data.town.english.words import PRONOUNS
from shizuku.data.town.facts import Record
from shizuku.data.town.grammar import Env, Rule, Sequence
from shizuku.data.town.japanese.words import JapaneseWords
from shizuku.data.town.languages import Language
from shizuku.data.town.randomness import Choices
from shizuku.data.town.world import Town


class Draft:
    """One document on its way: the plan says what to write, the language's rules say how.

    `mentioned` and `days` gather whom and which days the text tells of, so that the split can be strict.
    """

    def __init__(self, town: Town, language: Language, choices: Choices, day: int) -> None:
        self.town, self.language, self.choices, self.day = town, language, choices, day
        self.words = language.words
        self.lines: list[str] = []
        self.speaker: str | None = None
        self.listener: str | None = None
        self.honorific = False
        self.mentioned: set[str] = set()
        self.days: set[int] = set()
        self._paragraph: list[str] = []
        self._turn_of: str | None = None
        self._focus: str | None = None
        self._spoken_of: list[str] = []
        self._before: list[str] = []
        self._introduced: set[str] = set()
        self._told: dict[str, set[int]] = {}

    # what the grammar asks for

    def option(self, n: int) -> int:
        """A choice among n, all equally likely."""
        return self.choices.below(n)

    def say(self, role: str, form: str, env: Env) -> str:
        """A role's value in words."""
        return self.words.say(role, form, env, self)

    def rule(self, name: str) -> Rule:
        """The language's rule of a name."""
        return self.language.rules[name]

    def person(self, value: str, form: str) -> str:
        """A person as fits the moment: I, you, a pronoun where it is clear, else a name."""
        self.mentioned.add(value)
        words = self.words
        if isinstance(words, JapaneseWords):
            self._spoken_of.append(value)
            polite = self.honorific or value == self.listener
            return words.person(value, form, polite, value == self.speaker)
        return self._english(value, form)

    def _english(self, value: str, form: str) -> str:
        gender = self.town.people[value].gender
        pronouns = PRONOUNS.get(form)
        if pronouns:
            if value == self.speaker:
                return pronouns[0]
            if value == self.listener:
                return pronouns[1]
            pronoun = pronouns[2 if gender == "m" else 3]
            if form not in ("", "o", "s"):
                return pronoun
            if (
                form != "o"
                and value == self._focus
                and self._clear(value, gender)
                and self.choices.chance(0.7)
            ):
                self._spoken_of.append(value)
                return pronoun
        first = value not in self._introduced
        self._spoken_of.append(value)
        surfaces = self.words.tables["person", form][value]
        if len(surfaces) == 1:
            return surfaces[0]
        return surfaces[1 if first and self.choices.chance(0.3) else 0]

    def _clear(self, value: str, gender: str) -> bool:
        """Whether a pronoun can only mean this person."""
        people = self.town.people
        return all(p == value or people[p].gender != gender for p in (*self._before, *self._spoken_of))

    # what the plans ask for

    def use(self, record: Record) -> Env:
        """The roles of a record that the text is going to tell; its day is remembered."""
        if record.day is not None:
            self.days.add(record.day)
        return record.roles

    def tell(self, rule: str, env: Env) -> None:
        """Add a sentence, by an alternative of the rule that the text has not used yet while there is one."""
        options = self.language.rules[rule].fitting(env)
        told = self._told.setdefault(rule, set())
        fresh = [option for option in options if id(option) not in told]
        if not fresh:
            told.clear()
            fresh = options
        option = fresh[self.choices.below(len(fresh))]
        told.add(id(option))
        self._add(option, env)

    def tell_option(self, rule: str, number: int, env: Env) -> None:
        """Add a sentence by the rule's alternative of that number among those that fit."""
        self._add(self.language.rules[rule].fitting(env)[number], env)

    def _add(self, node: Sequence, env: Env) -> None:
        out: list[str] = []
        self._spoken_of = []
        node.emit(env, self, out)
        self._paragraph.append(self.words.finish("".join(out)))
        self._before = self._spoken_of
        self._introduced.update(self._before)
        self._focus = str(env["who"]) if env.get("who") in self._before else None

    def line(self, rule: str, env: Env) -> None:
        """Add a line of its own that is no sentence: a title, a date, a signature."""
        self.end_paragraph()
        out: list[str] = []
        self.language.rules[rule].emit(env, self, out)
        text = "".join(out)
        self.lines.append(text[0].upper() + text[1:])

    def turn(self, who: str) -> None:
        """Begin a speaker's turn in a dialogue, on a line of its own unless they are speaking already."""
        if self._paragraph and self._turn_of == who:
            return
        self.end_paragraph()
        self._turn_of = who
        self.mentioned.add(who)
        label = self.words.given[who] if isinstance(self.words, JapaneseWords) else who.capitalize()
        self._paragraph.append(label + ("：" if self.words.language == "ja" else ":"))

    def number(self, number: int) -> None:
        """Begin a numbered step on a line of its own."""
        self.end_paragraph()
        self._paragraph.append(f"{number}." if self.words.language == "en" else f"{number}．")

    def end_paragraph(self) -> None:
        """Close the paragraph, if there is one."""
        if self._paragraph:
            self.lines.append(("" if self.words.language == "ja" else " ").join(self._paragraph))
            self._paragraph = []
            self._turn_of = None

    def blank(self) -> None:
        """Leave a line empty."""
        self.end_paragraph()
        if self.lines and self.lines[-1]:
            self.lines.append("")

    @property
    def text(self) -> str:
        """The document."""
        self.end_paragraph()
        while self.lines and not self.lines[-1]:
            self.lines.pop()
        return "\n".join(self.lines)
