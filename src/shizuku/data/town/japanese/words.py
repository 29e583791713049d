# ruff: noqa: E501 (tables and productions: a long entry is clearer on one line)
"""Values in Japanese: counters, numbers, dates and names."""

from shizuku.data.town import stock
from shizuku.data.town.days import date_of
from shizuku.data.town.grammar import Env, Reading
from shizuku.data.town.japanese import nouns
from shizuku.data.town.japanese.steps import STEPS, TOPICS
from shizuku.data.town.japanese.verbs import FORMS, phrase
from shizuku.data.town.words import Speaker, Table, Words, lengths_of
from shizuku.data.town.world import Town

DIGITS = "〇一二三四五六七八九"
NATIVE = ("", "一つ", "二つ", "三つ", "四つ", "五つ", "六つ", "七つ", "八つ", "九つ")
WEEKDAYS = "月火水木金土日"
COUNTED = {"count": "good", "count2": "good2", "number": "animal"}
"""Role of a count -> the role of what is counted."""


def kanji(n: int) -> str:
    """A number below 100 in kanji."""
    tens, ones = divmod(n, 10)
    return ("" if tens == 0 else "十" if tens == 1 else DIGITS[tens] + "十") + (
        DIGITS[ones] if ones or not n else ""
    )


def counted(n: int, counter: str) -> str:
    """A count with its counter: 三つ, 三本."""
    return NATIVE[n] if counter == "個" and n < 10 else kanji(n) + counter


def clock(hour: int) -> str:
    """An hour of the day."""
    return f"午前{kanji(hour)}時" if hour < 12 else "正午" if hour == 12 else f"午後{kanji(hour - 12)}時"


class JapaneseWords(Words):
    """Japanese words for a town."""

    language = "ja"
    forms = FORMS

    def __init__(self, town: Town) -> None:
        super().__init__()
        self.numbers = {
            ("money", ""): ("", "円"), ("year", ""): ("", "年"), ("number", "digits"): ("", ""),
            ("money", "digits"): ("", ""), ("number", "money"): ("", "円"),
        }  # fmt: skip
        self._counters = {
            "good": self._things("good", nouns.GOODS),
            "animal": self._things("animal", nouns.ANIMALS),
        }
        self._counters["good2"] = self._counters["good"]
        everything = {
            counted(n, counter): (n, counter)
            for counter in {c for table in self._counters.values() for c in table.values()}
            for n in range(1, 61)
        }
        self._counts, self._count_lengths = everything, lengths_of(everything)
        self._nouns()
        self._steps()
        self._places(town)
        self._people(town)
        self._calendar(town.days)

    def _things(self, kind: str, entries: dict[str, str]) -> dict[str, str]:
        self.table(kind, "", {key: entry.split(",")[0] for key, entry in entries.items()})
        return {key: entry.split(",")[1] for key, entry in entries.items()}

    def _nouns(self) -> None:
        for kind, table in (
            ("item", nouns.ITEMS), ("thing", nouns.BROKEN), ("craft", nouns.CRAFTS), ("outing", nouns.OUTINGS),
            ("contest", nouns.CONTESTS), ("illness", nouns.ILLNESS), ("book", nouns.BOOKS), ("dish", nouns.DISHES),
            ("job", nouns.JOBS), ("trait", nouns.TRAITS), ("town2", nouns.TOWNS2), ("vehicle", nouns.VEHICLES),
            ("pet", nouns.PETS), ("petname", nouns.PETNAMES), ("colour", nouns.COLOURS),
        ):  # fmt: skip
            self.table(kind, "", table)
        for kind, table in (("hobby", nouns.HOBBIES), ("task", nouns.TASKS), ("chore", nouns.CHORES)):
            for form in (*FORMS, "masu"):
                self.table(kind, form, {key: phrase(text, form) for key, text in table.items()})
        sky = {
            "sunny": "晴れ",
            "cloudy": "曇り",
            "rainy": "雨",
            "windy": "強い風",
            "foggy": "霧",
            "snowy": "雪",
        }
        self.table("sky", "", sky)
        self.table("side", "", {"north": "北", "south": "南", "east": "東", "west": "西"})
        self.table("turn", "", {"left": "左", "right": "右"})
        self.table("part", "", {"morning": "朝", "noon": "昼", "afternoon": "午後", "evening": "夕方"})
        self.table("spot", "", {
            "gate": "門のそばに", "door": "玄関の横に", "behind": "家の裏に", "path": "小道に沿って",
            "corner": "日当たりのよい所に", "fence_s": "垣根に沿って", "wall": "塀の前に", "well": "井戸の近くに",
        })  # fmt: skip
        self.table("part", "when", {
            "morning": "朝早く/朝のうちに/朝食のあと/通りが静かなうちに",
            "noon": "昼ごろ/正午ごろ/昼休みに/時計が十二時を打つころ",
            "afternoon": "昼過ぎに/昼食のあと/午後になって/日が傾き始めたころ",
            "evening": "日が暮れるころ/夕食の前に/夕方になって/一日の終わりに/街灯がともるころ",
        })  # fmt: skip
        self.table(
            "number", "", {n: kanji(n) for n in range(100)} | {-n: "氷点下" + kanji(n) for n in range(1, 20)}
        )
        self.table(
            "number", "people", {n: {1: "一人", 2: "二人"}.get(n, kanji(n) + "人") for n in range(1, 100)}
        )
        self.table("gender", "child", {"f": "娘", "m": "息子"})

    def _steps(self) -> None:
        self.table("topic", "", TOPICS)
        self.table(
            "step", "", {f"{topic}-{i}": s for topic, steps in STEPS.items() for i, s in enumerate(steps)}
        )

    def _places(self, town: Town) -> None:
        owners = {p.id: town.people[p.owner].family for p in town.places.values() if p.owner}
        family = dict(zip(stock.FAMILIES, nouns.FAMILIES, strict=True))
        self.table("family", "", family)
        self.table("place", "", {
            k: name + (f"/{family[owners[k]]}さんの{name}" if k in owners else "") for k, name in nouns.PLACES.items()
        })  # fmt: skip
        self.table("place", "plain", nouns.PLACES)
        streets = (
            *zip(stock.STREETS, nouns.STREETS, strict=True),
            *zip(stock.AVENUES, nouns.AVENUES, strict=True),
        )
        self.table("street", "", dict(streets))
        self.table("town", "", dict(zip(stock.TOWNS, nouns.TOWNS, strict=True)))
        self.table("clock", "", {h: clock(h) for h in range(24)})

    def _people(self, town: Town) -> None:
        given = dict(zip((*stock.FEMALE, *stock.MALE), (*nouns.FEMALE, *nouns.MALE), strict=True))
        full = {p.id: dict(zip(stock.FAMILIES, nouns.FAMILIES, strict=True))[p.family] + given[p.id]
                for p in town.people.values()}  # fmt: skip
        self.given, self.full = given, full
        both: Table = {p: (given[p], given[p] + "さん", full[p], full[p] + "さん") for p in full}
        self.tables["person", ""] = both | {"?I": ("私",)}
        self.tables["person", "full"] = {p: (full[p], full[p] + "さん") for p in full}
        self.tables["person", "bare"] = {p: (full[p],) for p in full}
        self.tables["person", "name"] = {p: (given[p], given[p] + "さん") for p in full}
        self.tables["person", "label"] = {p: (given[p],) for p in full}

    def _calendar(self, days: int) -> None:
        dates = {day: date_of(day) for day in range(-7, days + 60)}
        plain = {d: f"{t.year}年{t.month}月{t.day}日" for d, t in dates.items()}
        self.table("day", "", dict(plain))
        self.table("day", "long", {d: f"{plain[d]}（{WEEKDAYS[t.weekday()]}）" for d, t in dates.items()})
        self.table("weekday", "", {n: f"{w}曜日" for n, w in enumerate(WEEKDAYS)})
        months = [(m, d) for m in range(1, 13) for d in range(1, 32)]
        self.table("birthday", "", {f"{m:02d}-{d:02d}": f"{m}月{d}日" for m, d in months})

    def say(self, role: str, form: str, env: Env, speaker: Speaker) -> str:
        if form == "of":
            thing = COUNTED[role]
            return counted(env[role], self._counters[thing][env[thing]])
        return super().say(role, form, env, speaker)

    def read(self, role: str, form: str, text: str, position: int) -> list[Reading]:
        if form == "of":
            found = ((n, self._counts.get(text[position : position + n])) for n in self._count_lengths)
            return [(position + n, ((role, count[0]), (f"{role}#", count[1]))) for n, count in found if count]
        return super().read(role, form, text, position)

    def counter_fits(self, role: str, counter: str, thing: str) -> bool:
        """Whether a thing is counted with the counter."""
        return self._counters[COUNTED[role]][thing] == counter

    def person(self, value: str, form: str, honorific: bool, is_speaker: bool) -> str:
        """A person's name, with さん where the text is polite; the speaker is 私."""
        if form == "label":
            return self.given[value]
        if form == "bare":
            return self.full[value]
        if is_speaker and form == "":
            return "私"
        return (self.full[value] if form == "full" else self.given[value]) + ("さん" if honorific else "")

    def finish(self, sentence: str) -> str:
        """A full stop at the end where there is no other mark."""
        return sentence + ("" if sentence[-1] in "。？！：」』" else "。")
