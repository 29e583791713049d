"""The town that stands still: its people, homes, shops and places, from one seed, in no language."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache

from shizuku.data.town import stock
from shizuku.data.town.randomness import Choices

START = date(2030, 4, 1)
"""Day 0, a Monday."""
HELD_OUT_EVERY = 30
"""One day in this many is held out."""
HOUSEHOLDS = 46
HELD_OUT_HOUSEHOLDS = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Somebody who lives in the town; `id` is the given name, which nobody else has."""

    id: str
    family: str
    gender: str
    born: int
    job: str
    workplace: str
    street: str
    partner: str | None
    parents: tuple[str, ...]
    children: tuple[str, ...]
    hobby: str
    favourite: str
    colour: str
    trait: str
    pet: str | None
    pet_name: str | None
    held_out: bool

    def age(self, day: int) -> int:
        """Whole years lived on the day."""
        born, today = START + timedelta(days=self.born), START + timedelta(days=day)
        return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A shop or a public place at a crossing of the town's streets."""

    id: str
    column: int
    row: int
    opens: int
    closes: int
    closed_on: int
    owner: str | None
    founded: int
    goods: tuple[str, ...]

    @property
    def street(self) -> str:
        """The east-west street it stands on."""
        return stock.STREETS[self.row]

    @property
    def avenue(self) -> str:
        """The north-south street it stands on."""
        return stock.AVENUES[self.column]


@dataclass(frozen=True, kw_only=True, slots=True)
class Town:
    """A whole town, `days` long; everything that happens in it follows from `seed`."""

    seed: int
    days: int
    name: str
    people: dict[str, Person]
    places: dict[str, Place]
    books: dict[str, str] = field(repr=False)
    """Book -> the person who wrote it."""

    @property
    def shops(self) -> list[Place]:
        """The places that sell goods."""
        return [place for place in self.places.values() if place.goods]

    def sellers(self, good: str) -> list[Place]:
        """The shops that sell a good."""
        return [place for place in self.shops if good in place.goods]

    def is_held_out(self, day: int) -> bool:
        """Whether the day's documents are kept out of training."""
        block, place = divmod(day, HELD_OUT_EVERY)
        return held_out_place(self.seed, block) == place


@lru_cache(maxsize=1024)
def held_out_place(seed: int, block: int) -> int:
    """Which day of a block of days is held out."""
    return Choices(seed, "held out", block).below(HELD_OUT_EVERY)


def build_town(seed: int, *, days: int = 990) -> Town:
    """The town of a seed; `days` is how long it is told of (nothing else depends on it)."""
    pick = Choices(seed, "town")
    name = pick.of(stock.TOWNS)
    cells = pick.shuffled([(c, r) for c in range(len(stock.AVENUES)) for r in range(len(stock.STREETS))])
    people = _people(pick)
    owners = [p for p in people.values() if p.job == "shopkeeper"]
    places: dict[str, Place] = {}
    for index, kind in enumerate((*stock.SHOPS, *stock.PUBLIC)):
        is_shop = kind in stock.SHOPS
        goods = (*stock.SHOPS[kind], *stock.ALSO_SOLD.get(kind, ())) if is_shop else ()
        owner = next((p.id for p in owners if p.workplace == kind), None)
        column, row = cells[index]
        places[kind] = Place(
            id=kind, column=column, row=row, opens=pick.between(7, 10), closes=pick.between(17, 20),
            closed_on=pick.below(7), owner=owner, founded=pick.between(1890, 2024), goods=goods,
        )  # fmt: skip
    authors = [p.id for p in people.values() if p.job not in ("pupil", "shopkeeper") and not p.held_out]
    books = {book: pick.of(authors) for book in stock.BOOKS}
    return Town(seed=seed, days=days, name=name, people=people, places=places, books=books)


@dataclass(slots=True)
class _Sketch:
    """A person being made up; the fields are those of Person."""

    id: str
    gender: str
    born: int
    job: str = ""
    workplace: str = ""
    partner: str | None = None
    parents: tuple[str, ...] = ()
    children: tuple[str, ...] = ()


def _people(pick: Choices) -> dict[str, Person]:
    """All households, one after another; the last ones are held out."""
    names = {"f": pick.shuffled(stock.FEMALE), "m": pick.shuffled(stock.MALE)}
    families = pick.shuffled(stock.FAMILIES)[:HOUSEHOLDS]
    shops_to_give = list(stock.SHOPS)
    people: dict[str, Person] = {}
    for index, family in enumerate(families):
        held_out = index >= HOUSEHOLDS - HELD_OUT_HOUSEHOLDS
        sketches = _household(pick, names, HOUSEHOLDS - 1 - index, held_out=held_out)
        for sketch in sketches:
            _give_work(pick, sketch, [] if held_out else shops_to_give)
        street = pick.of(stock.STREETS)
        kind = pick.of(list(stock.PETS)) if pick.chance(0.5) else None
        pet_name = pick.of(stock.PETS[kind]) if kind else None
        for s in sketches:
            people[s.id] = Person(
                id=s.id, family=family, gender=s.gender, born=s.born, job=s.job, workplace=s.workplace,
                street=street, partner=s.partner, parents=s.parents, children=s.children,
                hobby=pick.of(stock.HOBBIES), favourite=pick.of(stock.FOODS), colour=pick.of(stock.COLOURS),
                trait=pick.of(stock.TRAITS), pet=kind, pet_name=pet_name, held_out=held_out,
            )  # fmt: skip
    return people


def _household(pick: Choices, names: dict[str, list[str]], later: int, *, held_out: bool) -> list[_Sketch]:
    """A couple with or without children, or one person alone; a held-out one is a couple without children.

    For the `later` households a name for each grown-up is left.
    """

    def newcomer(gender: str, low: int, high: int) -> _Sketch:
        return _Sketch(names[gender].pop(), gender, -365 * pick.between(low, high) - pick.below(365))

    if not held_out and pick.chance(0.2):
        return [newcomer("f" if pick.chance(0.5) else "m", 20, 75)]
    wife = newcomer("f", 25, 66)
    husband = newcomer("m", 25, 66)
    husband.born = wife.born + pick.between(-1500, 1500)
    wife.partner, husband.partner = husband.id, wife.id
    children = []
    if -wife.born < 365 * 48 and not held_out:
        for _ in range(pick.weighted((1, 2, 3), (4, 4, 2))):
            gender = "f" if pick.chance(0.5) else "m"
            if len(names[gender]) > later:
                children.append(newcomer(gender, 6, 12))
    for child in children:
        child.parents = (wife.id, husband.id)
    wife.children = husband.children = tuple(child.id for child in children)
    return [wife, husband, *children]


def _give_work(pick: Choices, sketch: _Sketch, shops_to_give: list[str]) -> None:
    """A shop of one's own while there are any, a job, school, or rest after 65."""
    age = -sketch.born // 365
    if age < 18:
        sketch.job, sketch.workplace = "pupil", "school"
    elif shops_to_give and age < 70 and pick.chance(0.4):
        sketch.job, sketch.workplace = "shopkeeper", shops_to_give.pop(0)
    elif age >= 65:
        sketch.job, sketch.workplace = "retired", "community_hall"
    else:
        sketch.job = pick.of(list(stock.JOBS))
        sketch.workplace = stock.JOBS[sketch.job]
