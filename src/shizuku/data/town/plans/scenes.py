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
        roles["news"] = news_of(draft, news, str(roles["who"]))
    return record.kind, roles


def news_of(draft: Draft, news: Record, teller: str) -> tuple[str, Roles]:
    """An event as news that somebody passes on: "that she had ..." when it is the teller's own."""
    nested = {**draft.use(news), "self": (news.kind, news.roles)}
    return ("self" if news.roles["who"] == teller else "that"), nested


def tell_events(
    draft: Draft, days: Days, who: str, records: Sequence[Record], *, first: bool = False, style: str = "s."
) -> None:
    """Tell a person's events in order: some in pairs, some with a sentence more about them.

    `style` is the family of rules that tells them; `first` says that the first one opens the text.
    """
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
            draft.tell(f"{style}two" if "part" in env else f"{style}two.same", env)
        elif "part" in env:
            rule = f"{style}event" if started else f"{style}event.first"
            if part_before and f"{style}event.later" in draft.language.rules and pick.chance(0.35):
                rule = f"{style}event.later"
            draft.tell(rule, env)
        else:
            draft.tell(f"{style}event.same", env)
        started = True
        part_before = part
        if f"{style}more.{last.kind}" in draft.language.rules and pick.chance(0.45):
            draft.tell(f"{style}more.{last.kind}", {**env["2" if last is not record else "1"][1]})
