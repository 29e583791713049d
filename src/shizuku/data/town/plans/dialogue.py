"""Dialogues: two people ask each other about the town and its day."""

from shizuku.data.town import stock
from shizuku.data.town.days import Days
from shizuku.data.town.facts import Record
from shizuku.data.town.plans.questions import Topics
from shizuku.data.town.plans.scenes import Roles, clause
from shizuku.data.town.records import standing_records
from shizuku.data.town.voice import Draft


def dialogue(draft: Draft, days: Days) -> None:
    """A conversation: greetings, questions with answers, somebody's own day, farewells."""
    pick, town = draft.choices, draft.town
    one = pick.of(list(town.people.values()))
    asker = one.id
    other = pick.of([p.id for p in town.people.values() if p.id != asker and p.held_out == one.held_out])
    draft.honorific = True
    place = pick.of(stock.MEETING)
    street = town.places[place].street
    if pick.chance(0.7):
        draft.line(
            "t.talk", {"who": asker, "whom": other, "place": place, "street": street, "day": draft.day}
        )
    greeted = pick.chance(0.6)
    if greeted:
        way = pick.of(("hello", "request"))
        _turn(draft, asker, other, f"s.talk.{way}", {"whom": other})
        _turn(draft, other, asker, f"s.talk.{way}2", {"whom": asker})
    happened = days.by_person(draft.day)
    topics = Topics(draft, days, standing_records_of(draft))
    for _ in range(pick.between(2, 4)):
        if pick.chance(0.3):
            asker, other = other, asker
        _question(draft, days, topics, asker, other)
    if other in happened and pick.chance(0.8):
        record = pick.of(happened[other])
        env: Roles = {"whom": other, "part": record.roles["part"]}
        _turn(draft, asker, other, "s.talk.ask.own", env)
        draft.turn(other)
        draft.speaker, draft.listener = other, asker
        draft.tell(
            "s.talk.own", {"who": other, "part": record.roles["part"], "1": clause(draft, days, record)}
        )
    if pick.chance(0.5):
        _turn(draft, asker, other, "s.talk.bye", {"whom": other})
        part = pick.of(stock.PARTS[2:])
        _turn(draft, other, asker, "s.talk.bye2", {"whom": asker, "part": part})


def standing_records_of(draft: Draft) -> dict[str, list[Record]]:
    """The town's standing records by kind, kept with the language so that they are made once."""
    kept = draft.language.standing
    if not kept:
        for record in standing_records(draft.town):
            kept.setdefault(record.kind, []).append(record)
    return kept


def _turn(draft: Draft, speaker: str, listener: str, rule: str, env: Roles) -> None:
    """A speaker's turn of one sentence."""
    draft.speaker, draft.listener = speaker, listener
    draft.turn(speaker)
    draft.tell(rule, env)


def _question(draft: Draft, days: Days, topics: Topics, asker: str, other: str) -> None:
    """One question and its answer, and perhaps what the asker makes of it."""
    pick = draft.choices
    if pick.chance(0.4):
        events = [r for r in days.events(draft.day) if r.roles["who"] not in (asker, other)]
        record = pick.of(events)
        who = record.roles["who"]
        env: Roles = {"who": who, "part": record.roles["part"], "day": draft.day}
        _turn(draft, asker, other, "s.ask.event", env)
        draft.speaker, draft.listener = other, asker
        draft.turn(other)
        draft.tell("s.answer.event", {**env, "1": clause(draft, days, record)})
    else:
        found = topics.pick({asker, other})
        if found is None:
            return
        topic, record = found
        env = {**draft.use(record), "day": draft.day}
        _turn(draft, asker, other, f"s.ask.{topic}", env)
        _turn(draft, other, asker, f"s.answer.{topic}", env)
    if pick.chance(0.3):
        _turn(draft, asker, other, "s.talk.react", {})
