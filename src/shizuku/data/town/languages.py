"""The two languages of the town: words and compiled productions, and the parser that reads with them."""

from dataclasses import dataclass, field

from shizuku.data.town.english import words as english_words
from shizuku.data.town.english.productions import TEXTS as ENGLISH
from shizuku.data.town.english.verbs import inflect as inflect_english
from shizuku.data.town.facts import Record
from shizuku.data.town.grammar import Alternative, Reading, Rule, Start, compile_rules
from shizuku.data.town.japanese import words as japanese_words
from shizuku.data.town.japanese.productions import TEXTS as JAPANESE
from shizuku.data.town.japanese.verbs import inflect as inflect_japanese
from shizuku.data.town.world import Town


@dataclass(slots=True)
class Language:
    """Words and rules of one language, for one town."""

    words: english_words.EnglishWords | japanese_words.JapaneseWords
    rules: dict[str, Rule]
    families: dict[str, list[Alternative]] = field(default_factory=dict)
    """Prefix that ends in a dot -> the alternatives of all rules that begin with it."""
    standing: dict[str, list[Record]] = field(default_factory=dict)
    """What always holds in the town, by kind, kept here once it has been asked for."""

    def family(self, prefix: str) -> list[Alternative]:
        """The alternatives of all rules whose name begins with the prefix."""
        found = self.families.get(prefix)
        if found is None:
            rules = [rule for name, rule in self.rules.items() if name.startswith(prefix)]
            found = self.families[prefix] = [a for rule in rules for a in rule.alternatives]
        return found


def languages_of(town: Town) -> dict[str, Language]:
    """English and Japanese for a town."""
    english = compile_rules(ENGLISH, inflect_english, english_words.FORMS)
    japanese = compile_rules(JAPANESE, inflect_japanese, japanese_words.FORMS)
    return {
        "en": Language(english_words.EnglishWords(town), english),
        "ja": Language(japanese_words.JapaneseWords(town), japanese),
    }


class Parser:
    """Reads one sentence; what was read where is remembered."""

    def __init__(self, language: Language, text: str) -> None:
        self.language, self.text = language, text
        self._slots: dict[tuple[str, str, int], list[Reading]] = {}
        self._rules: dict[tuple[str, int], list[Reading]] = {}

    def slot(self, role: str, form: str, position: int) -> list[Reading]:
        """The readings of a slot."""
        key = (role, form, position)
        found = self._slots.get(key)
        if found is None:
            found = self._slots[key] = self.language.words.read(role, form, self.text, position)
        return found

    def rules(self, name: str, position: int) -> list[Reading]:
        """The readings of a rule, or of all rules of a form when the name ends in a dot."""
        key = (name, position)
        found = self._rules.get(key)
        if found is None:
            if name.endswith("."):
                pooled: dict[Reading, None] = {}
                for alternative in self.language.family(name):
                    if not self._may_start(alternative.start, position):
                        continue
                    pooled.update(dict.fromkeys(alternative.match(self, position)))
                found = list(pooled)
            else:
                found = self.language.rules[name].match(self, position)
            self._rules[key] = found
        return found

    def _may_start(self, start: Start, position: int) -> bool:
        """Whether the text at the position begins as it has to."""
        if start is None:
            return True
        if isinstance(start, frozenset):
            return self.text[position : position + 1] in start
        return bool(self.slot(start[0], start[1], position))

    def whole(self, family: str) -> list[Reading]:
        """The readings of the whole text by rules of a family."""
        return [reading for reading in self.rules(family, 0) if reading[0] == len(self.text)]
