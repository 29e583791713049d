"""Telling events one after another: how records become sentences, alone or in pairs."""

from collections.abc import Sequence
from typing import Any

from shizuku.data.town.days import Days
from shizuku.data.town.facts import Record
from shizuku.data.town.voice import Draft

Roles = dict[str, Any]


def clause(draft: Draft, days: Days, record: Record) -> tuple[str, Roles]:
    """The record as a nested clause's kind and roles; news that is told is nested once more."""
    roles: Roles = dict(draft.use(record))
    if record.kind == "tell":
        day = int(str(roles["about"]).split("-")[1])
        news = next(r for r in days.lived(day) if r.id == roles["about"])
        roles["news"] = ("self" if news.roles["who"] == roles["who"] else "that", {**draft.use(news), "self": (news.kind, news.roles)})
    return record.kind, roles


def events_of(days: Days, day: int) -> dict[str, list[Record]]:
    """Person -> what the person did on the day, in the order of its parts."""
    order = {"morning": 0, "noon": 1, "afternoon": 2, "evening": 3}
    found: dict[str, list[Record]] = {}
    for record in days.events(day):
        found.setdefault(str(record.roles["who"]), []).append(record)
    for records in found.values():
        records.sort(key=lambda r: order[str(r.roles["part"])])
    return found


def tell_events(draft: Draft, days: Days, who: str, records: Sequence[Record], *, first: bool = False) -> None:
    """Tell a person's events in order: some in pairs, some with a sentence more about them."""
    pick = draft.choices
    rest = list(records)
    started = not first
    part_before = None
    while rest:
        record = rest.pop(0)
        part = str(record.roles["part"])
        env: Roles = {"who": who, "1": clause(draft, days, record)}
        if part != part_before:
            env["part"] = part
        last = record
        paired = bool(rest) and rest[0].roles["part"] == part and "tell" not in (record.kind, rest[0].kind)
        if paired and pick.chance(0.6):
            last = rest.pop(0)
            env["2"] = clause(draft, days, last)
            draft.tell("s.two" if "part" in env else "s.two.same", env)
        elif "part" in env:
            draft.tell("s.event" if started else "s.event.first", env)
        else:
            draft.tell("s.event.same", env)
        started = True
        part_before = part
        if f"s.more.{last.kind}" in draft.language.rules and pick.chance(0.45):
            draft.tell(f"s.more.{last.kind}", {**env["2" if last is not record else "1"][1]})
