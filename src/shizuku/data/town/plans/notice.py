"""Notices: offers, opening hours, things lost and found, winners, the weather."""

from shizuku.data.town.days import Days, date_of
from shizuku.data.town.facts import Record
from shizuku.data.town.plans.scenes import Roles
from shizuku.data.town.records import person_roles, place_roles
from shizuku.data.town.voice import Draft
from shizuku.data.town.world import Place


def notice(draft: Draft, days: Days) -> None:
    """One notice about something of the day."""
    draft.honorific = True
    events: dict[str, list[Record]] = {}
    for record in days.events(draft.day):
        events.setdefault(record.kind, []).append(record)
    kinds = {"sale": 5, "hours": 3, "weather": 2, "lose": 3, "find": 2, "win": 3}
    possible = [k for k in kinds if k in ("sale", "hours", "weather") or events.get(k)]
    kind = draft.choices.weighted(possible, [kinds[k] for k in possible])
    if kind in ("sale", "hours"):
        _shop(draft, days, kind)
    elif kind == "weather":
        _weather(draft, days)
    else:
        _event(draft, draft.choices.of(events[kind]))


def _place_env(draft: Draft, place: Place) -> Roles:
    env: Roles = {**place_roles(place), "town": draft.town.name, "day": draft.day}
    if place.owner:
        env["who"] = place.owner
    return env


def _shop(draft: Draft, days: Days, kind: str) -> None:
    """A shop's or another place's prices and hours."""
    pick, town = draft.choices, draft.town
    if kind == "hours" and pick.chance(0.5):
        place = pick.of([p for p in town.places.values() if not p.goods])
    else:
        weekday = date_of(draft.day).weekday()
        place = pick.of([p for p in town.shops if p.closed_on != weekday])
    env = _place_env(draft, place)
    sales = days.sales(place.id, draft.day) if place.goods else []
    draft.line("t.notice.sale" if sales else "t.notice.hours", env)
    draft.blank()
    if pick.chance(0.7) and place.goods:
        draft.tell("s.notice.greet", env)
    for good in sales:
        prices = {
            "yen": days.price(place.id, good, draft.day),
            "usual": days.usual_price(place.id, good, draft.day),
        }
        draft.tell("s.notice.sale", {"good": good, "place": place.id, "day": draft.day, **prices})
    others = pick.some([g for g in place.goods if g not in sales], pick.between(1, 3))
    for good in others:
        yen = days.price(place.id, good, draft.day)
        draft.tell("s.notice.price", {"good": good, "place": place.id, "yen": yen})
    if pick.chance(0.5):
        draft.end_paragraph()
    draft.tell("s.notice.hours", env)
    if not place.goods or pick.chance(0.25):
        draft.tell("s.notice.history", env)
    if pick.chance(0.7):
        draft.tell("s.notice.bye", env)


def _weather(draft: Draft, days: Days) -> None:
    """What the day's weather is in its parts."""
    pick = draft.choices
    env: Roles = {"town": draft.town.name, "day": draft.day}
    draft.line("t.notice.weather", env)
    draft.blank()
    records = days.weather(draft.day)
    for record in records if pick.chance(0.4) else records[pick.below(3) :]:
        draft.tell("s.notice.weather", draft.use(record))
    for _ in range(pick.between(1, 2)):
        draft.tell("s.notice.advice", env)


def _event(draft: Draft, record: Record) -> None:
    """Something lost, found or won."""
    pick = draft.choices
    name = {"lose": "lost", "find": "found", "win": "win"}[record.kind]
    person = draft.town.people[str(record.roles["who"])]
    env: Roles = {**draft.use(record), "town": draft.town.name, "day": draft.day}
    draft.line(f"t.notice.{name}", env)
    draft.blank()
    draft.tell(f"s.notice.{name}", env)
    about = {**person_roles(person), "years": person.age(draft.day), **env}
    more = draft.language.rules[f"s.notice.{name}.more"].fitting(about)
    for number in pick.some(range(len(more)), pick.between(1, 3)):
        draft.tell_option(f"s.notice.{name}.more", number, about)
