"""What happens in the town: a day is a pure function of (town, day), so any worker can live it."""

import math
from datetime import date, timedelta

from shizuku.data.town import stock
from shizuku.data.town.facts import Record, Value
from shizuku.data.town.randomness import Choices, seed_of
from shizuku.data.town.world import START, Person, Place, Town

ACTIVE = 34
"""How many people's days are lived in detail each day."""


def date_of(day: int) -> date:
    """The calendar date of a day."""
    return START + timedelta(days=day)


class Days:
    """The days of a town, lived when asked for and kept while they are near."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self._lived: dict[int, list[Record]] = {}
        self._told: dict[int, list[Record]] = {}
        self._by_person: dict[int, dict[str, list[Record]]] = {}
        self._usual: dict[tuple[str, str, int], int] = {}
        self._sales: dict[tuple[str, int], list[str]] = {}

    @staticmethod
    def _keep(store: dict[int, list[Record]], day: int, records: list[Record]) -> list[Record]:
        if len(store) > 16:
            store.clear()
        store[day] = records
        return records

    def lived(self, day: int) -> list[Record]:
        """The events of the day before anybody talks about them, in the order of the day."""
        if day < 0:
            return []
        return self._lived.get(day) or self._keep(self._lived, day, _Day(self, day).events())

    def events(self, day: int) -> list[Record]:
        """Everything that happened on the day, who told whom and what was found again included."""
        return self._told.get(day) or self._keep(self._told, day, self.lived(day) + _talk(self, day))

    def by_person(self, day: int) -> dict[str, list[Record]]:
        """Person -> what the person did on the day, in the order of its parts."""
        found = self._by_person.get(day)
        if found is None:
            found = {}
            for record in sorted(self.events(day), key=lambda r: stock.PARTS.index(str(r.roles["part"]))):
                found.setdefault(str(record.roles["who"]), []).append(record)
            if len(self._by_person) > 16:
                self._by_person.clear()
            self._by_person[day] = found
        return found

    def weather(self, day: int) -> list[Record]:
        """Four records: the sky and the degrees (Celsius) in each part of the day."""
        pick = Choices(self.town.seed, "weather", day)
        season = math.cos((date_of(day).timetuple().tm_yday - 205) * 2 * math.pi / 365)
        mean = 14 + round(11 * season) + pick.between(-3, 3)
        cold = mean < 5
        sky = pick.weighted(stock.SKIES, (5, 4, 3, 2, 1, 2 if cold else 0))
        records = []
        for part, warmer in zip(stock.PARTS, (-2, 2, 3, -1), strict=True):
            if pick.chance(0.3):
                sky = pick.weighted(stock.SKIES, (5, 4, 3, 2, 1, 2 if cold else 0))
            roles: dict[str, Value] = {"part": part, "sky": sky, "degrees": mean + warmer}
            records.append(Record(f"weather-{day:04d}-{part}", "weather", day, roles))
        return records

    def price(self, shop: str, good: str, day: int) -> int:
        """Yen for one of a good in a shop: moves from week to week, and is a fifth lower on a sale day."""
        usual = self.usual_price(shop, good, day)
        return max(10, usual * 8 // 100 * 10) if good in self.sales(shop, day) else usual

    def usual_price(self, shop: str, good: str, day: int) -> int:
        """Yen for one of a good in a shop when it is not on sale."""
        key = (shop, good, day // 7)
        found = self._usual.get(key)
        if found is None:
            if len(self._usual) > 2000:
                self._usual.clear()
            base = stock.SHOPS[stock.GOODS[good]][good]
            percent = 80 + seed_of(self.town.seed, "price", *key) % 41
            found = self._usual[key] = max(20, (base * percent + 500) // 1000 * 10)
        return found

    def sales(self, shop: str, day: int) -> list[str]:
        """The goods a shop sells cheaper on the day: none on most days."""
        found = self._sales.get((shop, day))
        if found is None:
            if len(self._sales) > 500:
                self._sales.clear()
            pick = Choices(self.town.seed, "sale", shop, day)
            goods = pick.some(self.town.places[shop].goods, 2) if pick.chance(0.35) else []
            found = self._sales[shop, day] = [g for g in goods if self.usual_price(shop, g, day) >= 100]
        return found

    def prices(self, day: int) -> list[Record]:
        """A record for every good in every shop, and one for every sale."""
        records = []
        for shop in self.town.shops:
            sales = self.sales(shop.id, day)
            for good in shop.goods:
                usual = self.usual_price(shop.id, good, day)
                yen = self.price(shop.id, good, day)
                roles: dict[str, Value] = {"good": good, "place": shop.id, "yen": yen}
                records.append(Record(f"price-{day:04d}-{shop.id}-{good}", "price", day, roles))
                if good in sales:
                    record_id = f"sale-{day:04d}-{shop.id}-{good}"
                    records.append(Record(record_id, "sale", day, {**roles, "usual": usual}))
        return records

    def ages(self, day: int) -> list[Record]:
        """A record for every birthday that falls on the day."""
        today = date_of(day)
        records = []
        for person in self.town.people.values():
            born = date_of(person.born)
            if (born.month, born.day) == (today.month, today.day):
                roles: dict[str, Value] = {"who": person.id, "years": person.age(day)}
                records.append(Record(f"age-{day:04d}-{person.id}", "age", day, roles))
        return records

    def records(self, day: int) -> list[Record]:
        """Everything dated that is true of the day."""
        return self.weather(day) + self.prices(day) + self.ages(day) + self.events(day)


class _Day:
    """One day being lived: people go through its parts and things happen to them."""

    def __init__(self, days: Days, day: int) -> None:
        self.days, self.town, self.day = days, days.town, day
        self.pick = Choices(days.town.seed, "day", day)
        self.records: list[Record] = []
        self.open_shops = [s for s in self.town.shops if s.closed_on != date_of(day).weekday()]
        self.people = list(self.town.people.values())

    def events(self) -> list[Record]:
        """The day's events, person by person and part by part."""
        pick = self.pick
        for person in pick.some(self.people, ACTIVE):
            if pick.chance(0.03):
                self.add("ill", person, "morning", illness=pick.of(stock.ILLNESS))
                continue
            done: set[str] = set()
            for part in stock.PARTS:
                for _ in range(pick.weighted((0, 1, 2), (2, 6, 2))):
                    self.happen(person, part, done)
        return self.records

    def add(self, kind: str, person: Person, part: str, **roles: Value) -> None:
        """Write down that something of a kind happened to a person."""
        record_id = f"{kind}-{self.day:04d}-{len(self.records):03d}"
        self.records.append(Record(record_id, kind, self.day, {"who": person.id, **roles, "part": part}))

    def happen(self, person: Person, part: str, done: set[str]) -> None:
        """One thing that has not happened to the person yet today."""
        kinds = [k for k in _happenings(person, part) if k not in done]
        kind = self.pick.of(kinds)
        done.add(kind)
        getattr(self, f"_{kind}")(person, part)

    def other(self, person: Person) -> str:
        """Somebody else: now and then of the family, mostly anybody; held-out people keep to themselves."""
        family = [p for p in (person.partner, *person.parents, *person.children) if p]
        if family and (person.held_out or self.pick.chance(0.15)):
            return self.pick.of(family)
        while True:
            somebody = self.pick.of(self.people)
            if somebody.id != person.id and not somebody.held_out:
                return somebody.id

    def _purchase(self, person: Person, part: str) -> None:
        shops = [s for s in self.open_shops if s.owner != person.id]
        shop: Place = self.pick.of(shops)
        good = self.pick.of(shop.goods)
        unit = self.days.price(shop.id, good, self.day)
        count = self.pick.between(1, 6 if unit < 250 else 3 if unit < 700 else 1)
        self.add("purchase", person, part, good=good, count=count, place=shop.id, unit=unit, yen=unit * count)

    def _meet(self, person: Person, part: str) -> None:
        self.add("meet", person, part, whom=self.other(person), place=self.pick.of(stock.MEETING))

    def _gift(self, person: Person, part: str) -> None:
        self.add("gift", person, part, whom=self.other(person), good=self.pick.of(stock.GIFTS))

    def _lose(self, person: Person, part: str) -> None:
        self.add("lose", person, part, item=self.pick.of(stock.ITEMS), place=self.pick.of(stock.MEETING))

    def _cook(self, person: Person, part: str) -> None:
        self.add("cook", person, part, dish=self.pick.of(list(stock.DISHES)))

    def _practise(self, person: Person, part: str) -> None:
        self.add("practise", person, part, hobby=person.hobby)

    def _read(self, person: Person, part: str) -> None:
        self.add(
            "read",
            person,
            part,
            book=self.pick.of(stock.BOOKS),
            place=self.pick.of(("library", "park", "cafe")),
        )

    def _repair(self, person: Person, part: str) -> None:
        self.add("repair", person, part, thing=self.pick.of(stock.BROKEN))

    def _plant(self, person: Person, part: str) -> None:
        flower = self.pick.of(("tulip", "rose", "sunflower", "lily", "herbs"))
        self.add("plant", person, part, flower=flower, spot=self.pick.of(stock.SPOTS))

    def _see(self, person: Person, part: str) -> None:
        animal, place = self.pick.of(stock.ANIMALS), self.pick.of(stock.OUTDOORS)
        self.add("see", person, part, animal=animal, number=self.pick.between(1, 7), place=place)

    def _work(self, person: Person, part: str) -> None:
        self.add("work", person, part, task=self.pick.of(stock.TASKS[person.job]))

    def _eat(self, person: Person, part: str) -> None:
        food = person.favourite if self.pick.chance(0.3) else self.pick.of(stock.FOODS)
        self.add(
            "eat",
            person,
            part,
            food=food,
            place=self.pick.of(("park", "cafe", "harbour", "station", "shrine")),
        )

    def _help(self, person: Person, part: str) -> None:
        self.add("help", person, part, whom=self.other(person), chore=self.pick.of(stock.CHORES))

    def _invite(self, person: Person, part: str) -> None:
        self.add("invite", person, part, whom=self.other(person), outing=self.pick.of(stock.OUTINGS))

    def _win(self, person: Person, part: str) -> None:
        place = self.pick.of(("park", "community_hall", "harbour", "school"))
        self.add("win", person, part, contest=self.pick.of(stock.CONTESTS), place=place)

    def _walk(self, person: Person, part: str) -> None:
        self.add(
            "walk",
            person,
            part,
            petname=str(person.pet_name),
            place=self.pick.of(("park", "harbour", "shrine")),
        )

    def _travel(self, person: Person, part: str) -> None:
        destination, vehicle = self.pick.of(stock.DESTINATIONS), self.pick.of(stock.VEHICLES)
        self.add("travel", person, part, town2=destination, vehicle=vehicle)

    def _make(self, person: Person, part: str) -> None:
        self.add("make", person, part, craft=self.pick.of(stock.CRAFTS))

    def _visit(self, person: Person, part: str) -> None:
        self.add("visit", person, part, place=self.pick.of(stock.SIGHTS))

    def _write(self, person: Person, part: str) -> None:
        self.add("write", person, part, whom=self.other(person))


_ANY_TIME = [
    "purchase",
    "purchase",
    "meet",
    "meet",
    "gift",
    "lose",
    "practise",
    "read",
    "repair",
    "plant",
    "see",
    "make",
    "visit",
    "write",
    "help",
    "invite",
]


def _happenings(person: Person, part: str) -> list[str]:
    """The kinds of things that can happen to a person in a part of the day."""
    kinds = list(_ANY_TIME)
    if part in ("morning", "afternoon"):
        kinds += ["work", "work", "win"]
    if part == "morning" and person.job != "pupil":
        kinds += ["travel"]
    if part in ("noon", "evening"):
        kinds += ["eat", "eat", "cook"]
    if person.pet == "dog":
        kinds += ["walk", "walk"]
    return kinds


def _talk(days: Days, day: int) -> list[Record]:
    """What was lost yesterday and found today, and what those who were there told others."""
    pick = Choices(days.town.seed, "talk", day)
    people = days.town.people
    records: list[Record] = []
    yesterday = days.lived(day - 1)

    def add(kind: str, who: str, after: int = 0, **roles: Value) -> None:
        roles["part"] = pick.of(stock.PARTS[after + 1 :])
        records.append(Record(f"{kind}-{day:04d}-{500 + len(records):03d}", kind, day, {"who": who, **roles}))

    for lost in yesterday:
        owner = str(lost.roles["who"])
        if lost.kind == "lose" and not people[owner].held_out and pick.chance(0.6):
            finder = pick.of([p for p in people if p != owner and not people[p].held_out])
            add("find", finder, item=lost.roles["item"], place=lost.roles["place"], whom=owner)
    worth = [
        r for r in days.lived(day) + yesterday if r.kind in TOLD and not people[str(r.roles["who"])].held_out
    ]
    for news in pick.some(worth, 14):
        knows = [str(v) for role, v in news.roles.items() if role in ("who", "whom")]
        who = str(news.roles.get("whom") or knows[0])
        after = stock.PARTS.index(str(news.roles["part"])) if news.day == day else 0
        if people[who].held_out or after == len(stock.PARTS) - 1:
            continue
        whom = pick.of([p for p in people if p not in knows and not people[p].held_out])
        add("tell", who, after, whom=whom, about=news.id)
    return records


TOLD = frozenset(
    ["lose", "see", "win", "travel", "make", "repair", "read", "cook", "help", "gift", "plant", "purchase"]
)
"""Kinds of events that people pass on."""
