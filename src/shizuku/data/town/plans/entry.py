"""Encyclopedia entries: people, places, goods, books, dishes."""

from shizuku.data.town import stock
from shizuku.data.town.days import Days
from shizuku.data.town.plans.scenes import clause
from shizuku.data.town.records import person_roles, place_roles, side_of
from shizuku.data.town.voice import Draft

PERSON_FACTS = ("street", "born", "trait", "colour", "favourite", "hobby", "work")
PLACE_FACTS = ("founded", "hours", "closed")


def entry(draft: Draft, days: Days) -> None:
    """One entry of the town's encyclopedia."""
    plans = (_person, _place, _good, _book, _dish)
    draft.choices.weighted(plans, (6, 4, 4, 1, 1))(draft, days)


def _person(draft: Draft, days: Days) -> None:
    pick, town = draft.choices, draft.town
    person = pick.of(list(town.people.values()))
    env = {**person_roles(person), "town": town.name, "day": draft.day}
    if pick.chance(0.7):
        draft.line("t.entry.person", env)
    first = pick.of(("born", "street", "job"))
    draft.tell(f"s.entry.person.first.{first}", env)
    for fact in pick.some([f for f in PERSON_FACTS if f != first], pick.between(2, 5)):
        draft.tell(f"s.entry.person.{fact}", env)
    if pick.chance(0.5):
        draft.end_paragraph()
    _family(draft, person.id)
    for place in town.places.values():
        if place.owner == person.id:
            draft.tell("s.entry.owner", {"place": place.id, "who": person.id})
    books = [book for book, author in town.books.items() if author == person.id]
    for book in pick.some(books, 2):
        draft.tell("s.entry.author", {"book": book, "who": person.id})
    events = days.by_person(draft.day).get(person.id, [])
    for record in pick.some(events, pick.between(0, 2)):
        draft.tell("s.entry.deed", {"who": person.id, "day": draft.day, "1": clause(draft, days, record)})


def _family(draft: Draft, who: str) -> None:
    pick, person = draft.choices, draft.town.people[who]
    if person.partner and pick.chance(0.7):
        draft.tell("s.entry.partner", {"who": who, "whom": person.partner})
    for child in pick.some(person.children, 2):
        draft.tell("s.entry.child", {"who": who, "whom": child})
    for parent in pick.some(person.parents, 1):
        draft.tell("s.entry.parent", {"who": parent, "whom": who})
    if person.partner and not person.children and pick.chance(0.3):
        draft.tell("s.entry.children", {"who": who})
    if person.pet and pick.chance(0.6):
        draft.tell("s.entry.pet", {"who": who, "pet": person.pet, "petname": person.pet_name})


def _place(draft: Draft, days: Days) -> None:
    pick, town = draft.choices, draft.town
    place = pick.of(list(town.places.values()))
    env = {**place_roles(place), "town": town.name, "day": draft.day}
    if pick.chance(0.7):
        draft.line("t.entry.place", env)
    draft.tell("s.entry.place.first", env)
    for fact in pick.some(PLACE_FACTS, pick.between(1, 3)):
        draft.tell(f"s.entry.place.{fact}", env)
    if place.owner and pick.chance(0.8):
        draft.tell("s.entry.place.owner", {"place": place.id, "who": place.owner})
    near = [(other, found) for other in town.places.values() if (found := side_of(place, other))]
    for other, (side, blocks) in pick.some(near, pick.between(1, 2)):
        draft.tell("s.entry.near", {"place": place.id, "place2": other.id, "side": side, "blocks": blocks})
    if place.goods:
        draft.end_paragraph()
        for good in pick.some(place.goods, pick.between(1, 3)):
            draft.tell("s.entry.sold", {"good": good, "place": place.id})
    for good in pick.some(place.goods, pick.between(0, 2)):
        yen = days.price(place.id, good, draft.day)
        draft.tell("s.entry.price", {"good": good, "place": place.id, "yen": yen, "day": draft.day})
    here = [r for r in days.events(draft.day) if r.roles.get("place") == place.id]
    for record in pick.some(here, pick.between(0, 2)):
        roles = {"who": record.roles["who"], "day": draft.day, "1": clause(draft, days, record)}
        draft.tell("s.entry.bought", roles)


def _good(draft: Draft, days: Days) -> None:
    pick, town = draft.choices, draft.town
    good = pick.of(list(stock.GOODS))
    env = {"good": good, "town": town.name, "day": draft.day}
    if pick.chance(0.7):
        draft.line("t.entry.good", env)
    sellers = town.sellers(good)
    for number, place in enumerate(sellers):
        rule = "s.entry.good.also" if number else "s.entry.good.first"
        draft.tell(rule, {**env, "place": place.id})
        yen = days.price(place.id, good, draft.day)
        draft.tell("s.entry.price", {**env, "place": place.id, "yen": yen})
    dishes = [(dish, needs[good]) for dish, (needs, _, _) in stock.DISHES.items() if good in needs]
    for dish, count in pick.some(dishes, 2):
        draft.tell("s.entry.needs", {"dish": dish, "good": good, "count": count})
    fond = [p for p in town.people.values() if p.favourite == good]
    for person in pick.some(fond, pick.between(1, 2)):
        draft.tell("s.entry.likes", person_roles(person))
    bought = [r for r in days.lived(draft.day) if good in (r.roles.get("good"), r.roles.get("food"))]
    for record in pick.some(bought, 2):
        roles = {"who": record.roles["who"], "day": draft.day, "1": clause(draft, days, record)}
        draft.tell("s.entry.bought", roles)
    if pick.chance(0.5):
        draft.tell("s.entry.place.first", {**place_roles(sellers[0]), "town": town.name})


def _book(draft: Draft, days: Days) -> None:
    pick, town = draft.choices, draft.town
    book = pick.of(stock.BOOKS)
    author = town.people[town.books[book]]
    env = {**person_roles(author), "book": book, "town": town.name}
    draft.line("t.entry.book", env)
    draft.tell("s.entry.book.first", env)
    first = pick.of(("born", "street", "job"))
    draft.tell(f"s.entry.person.first.{first}", env)
    for fact in pick.some([f for f in PERSON_FACTS if f != first], pick.between(1, 3)):
        draft.tell(f"s.entry.person.{fact}", env)
    readers = [r for r in days.lived(draft.day) if r.kind == "read" and r.roles["book"] == book]
    for record in pick.some(readers, 3):
        roles = {"who": record.roles["who"], "day": draft.day, "1": clause(draft, days, record)}
        draft.tell("s.entry.bought", roles)


def _dish(draft: Draft, days: Days) -> None:
    pick, town = draft.choices, draft.town
    dish = pick.of(list(stock.DISHES))
    needs, minutes, _ = stock.DISHES[dish]
    env = {"dish": dish, "minutes": minutes, "town": town.name}
    draft.line("t.entry.dish", env)
    for good, count in needs.items():
        draft.tell("s.entry.needs", {"dish": dish, "good": good, "count": count})
        if pick.chance(0.4):
            place = pick.of(town.sellers(good))
            yen = days.price(place.id, good, draft.day)
            draft.tell("s.entry.price", {"good": good, "place": place.id, "yen": yen, "day": draft.day})
    draft.tell("s.entry.dish", env)
    cooks = [r for r in days.lived(draft.day) if r.kind == "cook" and r.roles["dish"] == dish]
    for record in pick.some(cooks, 2):
        roles = {"who": record.roles["who"], "day": draft.day, "1": clause(draft, days, record)}
        draft.tell("s.entry.bought", roles)
