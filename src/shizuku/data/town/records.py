"""What always holds in a town, as records: who lives where, what stands where, what dishes need."""

from shizuku.data.town import stock
from shizuku.data.town.days import date_of
from shizuku.data.town.facts import Record, Value
from shizuku.data.town.world import Person, Place, Town


def side_of(one: Place, other: Place) -> tuple[str, int] | None:
    """On which side of `other` `one` lies, and how many blocks away, when they share a street."""
    if one.row == other.row and one.column != other.column:
        return ("east" if one.column > other.column else "west"), abs(one.column - other.column)
    if one.column == other.column and one.row != other.row:
        return ("north" if one.row > other.row else "south"), abs(one.row - other.row)
    return None


def person_roles(person: Person) -> dict[str, Value]:
    """The roles of a person's record."""
    born = date_of(person.born)
    return {
        "who": person.id, "family": person.family, "gender": person.gender,
        "birthday": f"{born.month:02d}-{born.day:02d}", "birthyear": born.year, "job": person.job,
        "workplace": person.workplace, "street": person.street, "hobby": person.hobby,
        "favourite": person.favourite, "colour": person.colour, "trait": person.trait,
    }  # fmt: skip


def place_roles(place: Place) -> dict[str, Value]:
    """The roles of a place's record."""
    return {
        "place": place.id, "street": place.street, "avenue": place.avenue, "opens": place.opens,
        "closes": place.closes, "weekday": place.closed_on, "founded": place.founded,
    }  # fmt: skip


def way_roles(start: Place, end: Place) -> dict[str, Value]:
    """The roles of the way between two places: along the start's street, then along the end's avenue."""
    east, north = end.column - start.column, end.row - start.row
    return {
        "start": start.id, "end": end.id, "street": start.street, "side": "east" if east > 0 else "west",
        "blocks": abs(east), "avenue": end.avenue, "side2": "north" if north > 0 else "south",
        "blocks2": abs(north),
    }  # fmt: skip


def standing_records(town: Town) -> list[Record]:
    """Every record that holds on all days."""
    records: list[Record] = []

    def add(kind: str, name: str, **roles: Value) -> None:
        records.append(Record(f"{kind}-{name}", kind, None, roles))

    add("town", town.name, town=town.name, residents=len(town.people))
    for p in town.people.values():
        add("person", p.id, **person_roles(p))
        add("children", p.id, who=p.id, number=len(p.children))
        if p.partner:
            add("partner", p.id, who=p.id, whom=p.partner)
        for child in p.children:
            add("child", f"{p.id}-{child}", who=p.id, whom=child)
        if p.pet and p.pet_name:
            add("pet", p.id, who=p.id, pet=p.pet, petname=p.pet_name)
    for place in town.places.values():
        add("place", place.id, **place_roles(place))
        if place.owner:
            add("owner", place.id, place=place.id, who=place.owner)
        for good in place.goods:
            add("sold", f"{place.id}-{good}", good=good, place=place.id)
        for other in town.places.values():
            found = side_of(place, other)
            if found:
                name = f"{place.id}-{other.id}"
                add("near", name, place=place.id, place2=other.id, side=found[0], blocks=found[1])
            if place.row != other.row and place.column != other.column:
                add("way", f"{place.id}-{other.id}", **way_roles(place, other))
    for book, author in town.books.items():
        add("author", book, book=book, who=author)
    for dish, (needs, minutes, method) in stock.DISHES.items():
        add("dish", dish, dish=dish, minutes=minutes, method=method)
        for good, count in needs.items():
            add("needs", f"{dish}-{good}", dish=dish, good=good, count=count)
    return records
