# ruff: noqa: E501 (tables and productions: a long entry is clearer on one line)
"""Values in English: articles, plurals, numbers, dates, names and pronouns."""

from datetime import date

from shizuku.data.town import stock
from shizuku.data.town.days import date_of
from shizuku.data.town.english import nouns
from shizuku.data.town.english.steps import STEPS, TOPICS
from shizuku.data.town.english.verbs import FORMS, phrase
from shizuku.data.town.grammar import Reading
from shizuku.data.town.words import Words, lengths_of
from shizuku.data.town.world import Town

NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]  # fmt: skip
PRONOUNS = {
    "": ("I", "you", "he", "she"), "o": ("me", "you", "him", "her"), "s": ("my", "your", "his", "her"),
    "he": ("I", "you", "he", "she"), "him": ("me", "you", "him", "her"), "his": ("my", "your", "his", "her"),
    "self": ("myself", "yourself", "himself", "herself"), "was": ("was", "were", "was", "was"),
}  # fmt: skip
"""Form -> the words for I, you, he, she."""
PRONOUN_VALUES = ("?I", "?you", "?m", "?f")


def singular(entry: str) -> str:
    """The singular of a noun table's entry."""
    return entry.split(",")[0]


def plural(entry: str) -> str:
    """The plural of a noun table's entry."""
    one, _, many = entry.partition(",")
    return many or one + "s"


def article(noun: str) -> str:
    """The noun with a or an."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def counted(count: int, entry: str) -> str:
    """A number of things: "an apple", "three loaves of bread"."""
    if count == 1:
        return article(singular(entry))
    return f"{NUMBERS[count] if count <= 20 else count} {plural(entry)}"


def title(key: str) -> str:
    """A romanised name."""
    return key.capitalize()


def clock(hour: int) -> str:
    """An hour of the day in words."""
    return f"{NUMBERS[hour % 12 or 12]} in the {'morning' if hour < 12 else 'afternoon' if hour < 18 else 'evening'}"


class EnglishWords(Words):
    """English words for a town."""

    language = "en"
    forms = FORMS

    def __init__(self, town: Town) -> None:
        super().__init__()
        self.town = town
        self.numbers = {
            ("money", ""): ("", " yen"), ("year", ""): ("", ""), ("number", "digits"): ("", ""),
            ("money", "digits"): ("", ""), ("number", "money"): ("", " yen"),
        }  # fmt: skip
        self.paired = {("good", "n"): ("count", "good"), ("animal", "n"): ("number", "animal")}
        self.paired["good", "some"] = ("count", "good")
        self._nouns = {"good": nouns.GOODS, "animal": nouns.ANIMALS}
        self._pairs = {kind: self._counted(table) for kind, table in self._nouns.items()}
        self._things()
        self._actions()
        self._steps()
        self._places(town)
        self._people(town)
        self._calendar(town.days)

    def _things(self) -> None:
        for kind, nouns_of_kind in (
            ("good", nouns.GOODS), ("item", nouns.ITEMS), ("thing", nouns.BROKEN), ("animal", nouns.ANIMALS),
        ):  # fmt: skip
            self.table(kind, "", {k: article(singular(e)) for k, e in nouns_of_kind.items()})
            self.table(kind, "bare", {k: singular(e) for k, e in nouns_of_kind.items()})
            self.table(kind, "pl", {k: plural(e) for k, e in nouns_of_kind.items()})
        self.table(
            "good",
            "stuff",
            {k: singular(e).split(" of ")[1] if " of " in e else plural(e) for k, e in nouns.GOODS.items()},
        )
        for kind, table in (
            ("craft", nouns.CRAFTS), ("outing", nouns.OUTINGS), ("contest", nouns.CONTESTS),
            ("illness", nouns.ILLNESS), ("book", nouns.BOOKS), ("dish", nouns.DISHES), ("job", nouns.JOBS),
            ("trait", nouns.TRAITS), ("sky", nouns.SKIES),
        ):  # fmt: skip
            self.table(kind, "", table)
        self.table("colour", "", {c: c for c in stock.COLOURS})
        self.table("pet", "", {p: article(p) for p in stock.PETS})
        self.table("pet", "bare", {p: p for p in stock.PETS})
        self.table("petname", "", {n: title(n) for names in stock.PETS.values() for n in names})
        self.table("vehicle", "", {v: v for v in stock.VEHICLES})
        self.table("town2", "", {t: title(t) for t in stock.DESTINATIONS})
        self.table("side", "", {s: s for s in ("north", "south", "east", "west")})
        self.table("turn", "", {"left": "left", "right": "right"})
        self.table("part", "", {p: p for p in stock.PARTS})
        self.table("part", "in", {p: ("at noon" if p == "noon" else f"in the {p}") for p in stock.PARTS})
        self.table("spot", "", {
            "gate": "by the gate", "door": "beside the door", "behind": "behind the house", "path": "along the path",
            "corner": "in a sunny corner", "fence_s": "along the fence", "wall": "in front of the wall",
            "well": "near the well",
        })  # fmt: skip
        self.table("part", "n", {p: ("lunch hour" if p == "noon" else p) for p in stock.PARTS})
        self.table("part", "when", {
            "morning": "early in the day/after breakfast/before the streets filled/in the first hours of the day",
            "noon": "around noon/at midday/when the clock struck twelve/at lunchtime",
            "afternoon": "after lunch/later in the day/when the sun stood lower/in the hours after noon",
            "evening": "toward evening/before supper/at the end of the day/when the lamps were lit/at dusk",
        })  # fmt: skip
        self.table("number", "deg", {n: f"{self._degrees(n)}" for n in range(-30, 60)})
        self.table("number", "blocks", {1: "one block"} | {n: f"{NUMBERS[n]} blocks" for n in range(2, 9)})
        self.table(
            "number",
            "",
            {n: NUMBERS[n] if n <= 20 else str(n) for n in range(200)}
            | {-n: f"minus {NUMBERS[n]}" for n in range(1, 20)},
        )

    def _steps(self) -> None:
        self.table("topic", "", TOPICS)
        self.table(
            "step", "", {f"{topic}-{i}": s for topic, steps in STEPS.items() for i, s in enumerate(steps)}
        )

    @staticmethod
    def _degrees(n: int) -> str:
        """A temperature in words: "one degree", "minus two degrees"."""
        size = NUMBERS[abs(n)] if abs(n) <= 20 else str(abs(n))
        return ("minus " if n < 0 else "") + size + (" degree" if abs(n) == 1 else " degrees")

    def _actions(self) -> None:
        for kind, table in (("hobby", nouns.HOBBIES), ("task", nouns.TASKS), ("chore", nouns.CHORES)):
            for form in FORMS:
                self.table(kind, form, {k: phrase(text, form) for k, text in table.items()})

    def _places(self, town: Town) -> None:
        owners = {p.id: town.people[p.owner].family for p in town.places.values() if p.owner}
        both = {
            k: name
            + (
                f"/the {title(owners[k])} {name.removeprefix('the ')}"
                if k in owners and "'" not in name
                else ""
            )
            for k, name in nouns.PLACES.items()
        }
        self.table("place", "", both)
        self.table("place", "plain", nouns.PLACES)
        at = {
            k: "/".join(("in " if k in nouns.IN_PLACES else "at ") + n for n in t.split("/"))
            for k, t in both.items()
        }
        self.table("place", "at", at)
        self.table("street", "", {s: f"{title(s)} Street" for s in (*stock.STREETS, *stock.AVENUES)})
        self.table("town", "", {t: title(t) for t in stock.TOWNS})
        self.table("clock", "", {h: clock(h) for h in range(24)})
        self.table("clock", "short", {h: f"{NUMBERS[h % 12 or 12]} o'clock" for h in range(1, 13)})

    def _people(self, town: Town) -> None:
        self.table("family", "", {f: title(f) for f in stock.FAMILIES})
        self.table("gender", "child", {"f": "daughter", "m": "son"})
        full = {p.id: f"{title(p.id)} {title(p.family)}" for p in town.people.values()}
        given = {p: title(p) for p in town.people}
        for form, pronouns in PRONOUNS.items():
            table: dict[str, list[str]] = {}
            if form in ("", "o"):
                table = {p: [given[p], full[p]] for p in full}
            elif form == "s":
                table = {p: [given[p] + "'s", full[p] + "'s"] for p in full}
            elif form == "was":
                table = {"": ["was", "were"]}
            if form != "was":
                table |= {value: [word] for value, word in zip(PRONOUN_VALUES, pronouns, strict=True)}
            self.tables["person", form] = {value: tuple(words) for value, words in table.items()}
        self.table("person", "full", dict(full))
        self.table("person", "name", dict(given))

    def _calendar(self, days: int) -> None:
        dates: dict[int, date] = {day: date_of(day) for day in range(-7, days + 60)}
        plain = {d: f"{t.day} {MONTHS[t.month - 1]} {t.year}" for d, t in dates.items()}
        self.table("day", "", dict(plain))
        self.table("day", "long", {d: f"{WEEKDAYS[t.weekday()]}, {plain[d]}" for d, t in dates.items()})
        self.table("weekday", "", dict(enumerate(WEEKDAYS)))
        birthdays = {f"{m:02d}-{d:02d}": f"{d} {MONTHS[m - 1]}" for m in range(1, 13) for d in range(1, 32)}
        self.table("birthday", "", birthdays)

    @staticmethod
    def _counted(table: dict[str, str]) -> tuple[dict[str, tuple[str, int]], list[int]]:
        known = {counted(n, entry): (key, n) for key, entry in table.items() for n in range(1, 61)}
        return known, lengths_of(known)

    def pair(self, kind: str, form: str, partner: str | int, value: str | int) -> str:
        if form == "some":
            return self._some(str(value), int(partner))
        return counted(int(partner), self._nouns[kind][str(value)])

    def read_pair(self, kind: str, form: str, role: str, text: str, position: int) -> list[Reading]:
        if form == "some":
            both = {self._some(good, n): good for good in nouns.GOODS for n in (1, 2)}
            return [
                (position + len(s), ((role, good),))
                for s, good in both.items()
                if text.startswith(s, position)
            ]
        known, lengths = self._pairs[kind]
        other = self.paired[kind, form][0]
        found = ((n, known.get(text[position : position + n])) for n in lengths)
        return [(position + n, ((role, key[0]), (other, key[1]))) for n, key in found if key]

    @staticmethod
    def _some(good: str, count: int) -> str:
        """What a recipe goes on to call a good: "onion" if it needs one, "onions", "butter"."""
        one = singular(nouns.GOODS[good])
        if " of " in one:
            return one.split(" of ")[1]
        return one if count == 1 else plural(nouns.GOODS[good])

    def finish(self, sentence: str) -> str:
        """A capital at the start and a full stop at the end where there is no other mark."""
        stop = "" if sentence[-1] in ".?!:,”" else "."
        return sentence[0].upper() + sentence[1:] + stop
