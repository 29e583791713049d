"""Questions about the town's facts with their answers: what dialogues ask, and a list for examinations."""

from collections.abc import Iterator
from dataclasses import dataclass

from shizuku.data.town.days import Days
from shizuku.data.town.facts import Record
from shizuku.data.town.languages import languages_of
from shizuku.data.town.plans.scenes import Roles
from shizuku.data.town.randomness import Choices
from shizuku.data.town.records import standing_records
from shizuku.data.town.voice import Draft
from shizuku.data.town.world import Town

# Topic -> the kind of record it asks about, and the role that is the answer.
STANDING: dict[str, tuple[str, str]] = {
    "job": ("person", "job"), "street": ("person", "street"), "hobby": ("person", "hobby"),
    "favourite": ("person", "favourite"), "colour": ("person", "colour"), "birthday": ("person", "birthday"),
    "pet": ("pet", "petname"), "partner": ("partner", "whom"), "hours": ("place", "opens"),
    "closed": ("place", "weekday"), "place": ("place", "street"), "founded": ("place", "founded"),
    "owner": ("owner", "who"), "author": ("author", "who"), "near": ("near", "side"),
}  # fmt: skip
DATED: dict[str, tuple[str, str]] = {
    "buy": ("purchase", "good"), "cost": ("purchase", "yen"), "where": ("purchase", "place"),
    "met": ("meet", "whom"), "lost": ("lose", "item"), "won": ("win", "who"), "read": ("read", "book"),
    "trip": ("travel", "town2"), "cooked": ("cook", "dish"), "gift": ("gift", "good"),
    "price": ("price", "yen"), "weather": ("weather", "sky"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question in a language, the answer's sentence, and the fact that decides it."""

    question: str
    answer: str
    fact: str
    """Fact id in facts.parquet."""
    value: str
    """The fact's object."""
    day: int | None


def town_questions(town: Town, language: str, *, seed: int = 0, days: int = 30) -> Iterator[Question]:
    """Questions about what stands still and about the first `days` days, one for each fact asked about."""
    speech = languages_of(town)[language]
    calendar = Days(town)
    dated = (r for day in range(days) for r in calendar.records(day))
    for topics, records in ((STANDING, standing_records(town)), (DATED, dated)):
        for record in records:
            for topic, (kind, role) in topics.items():
                if record.kind == kind:
                    draft = Draft(town, speech, Choices(seed, "question", topic, record.id), record.day or 0)
                    draft.honorific = True
                    env: Roles = (
                        {**record.roles, "day": record.day} if record.day is not None else dict(record.roles)
                    )
                    draft.tell(f"s.ask.{topic}", env)
                    question = draft.text
                    draft.lines.clear()
                    draft.tell(f"s.answer.{topic}", env)
                    yield Question(
                        question=question, answer=draft.text, fact=f"{record.id}.{role}",
                        value=str(record.roles[role]), day=record.day,
                    )  # fmt: skip


class Topics:
    """The records that a conversation on a day can ask about."""

    def __init__(self, draft: Draft, days: Days, standing: dict[str, list[Record]]) -> None:
        self.draft, self.days, self.standing = draft, days, standing

    def pick(self, avoid: set[str]) -> tuple[str, Record] | None:
        """A topic with a record that is not about anybody to avoid; None if the choice has none today."""
        pick, day = self.draft.choices, self.draft.day
        topic = pick.of(list(STANDING) if pick.chance(0.45) else list(DATED))
        kind = (STANDING.get(topic) or DATED[topic])[0]
        if topic in STANDING:
            records = self.standing[kind]
        elif kind == "weather":
            records = self.days.weather(day)
        elif kind == "price":
            records = self.days.prices(day)
        else:
            records = self.days.lived(day)
        fitting = [
            r for r in records if r.kind == kind and not avoid & {r.roles.get("who"), r.roles.get("whom")}
        ]
        return (topic, pick.of(fitting)) if fitting else None
