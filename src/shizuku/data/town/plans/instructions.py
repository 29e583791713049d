"""Instructions: recipes, ways through the town, how to do things."""

from shizuku.data.town import stock
from shizuku.data.town.days import Days
from shizuku.data.town.plans.scenes import Roles
from shizuku.data.town.records import person_roles, place_roles, way_roles
from shizuku.data.town.voice import Draft


def instructions(draft: Draft, days: Days) -> None:
    """A recipe, a way, or a how-to."""
    draft.honorific = True
    draft.choices.weighted((_recipe, _way, _how), (4, 4, 3))(draft)


def _recipe(draft: Draft) -> None:
    pick, town = draft.choices, draft.town
    dish = pick.of(list(stock.DISHES))
    needs, minutes, method = stock.DISHES[dish]
    env: Roles = {"dish": dish, "minutes": minutes, "town": town.name}
    draft.line("t.recipe", env)
    if pick.chance(0.7):
        draft.tell("s.recipe.first", env)
    goods = pick.shuffled(list(needs))
    if pick.chance(0.5):
        draft.line("t.recipe.list", env)
        for good in goods:
            draft.line("t.recipe.item", {"good": good, "count": needs[good]})
    else:
        for number, good in enumerate(goods):
            rule = "s.recipe.needs2" if number else "s.recipe.needs"
            draft.tell(rule, {"dish": dish, "good": good, "count": needs[good]})
    if pick.chance(0.4):
        good = pick.of(goods)
        draft.tell("s.recipe.shop", {"good": good, "place": pick.of(town.sellers(good)).id})
    draft.end_paragraph()
    for good in goods:
        fresh = stock.GOODS[good] == "greengrocer"
        if fresh and pick.chance(0.6):
            draft.tell("s.recipe.wash", {"good": good, "count": needs[good]})
        if fresh or (stock.GOODS[good] == "fishmonger" and method != "grill" and good != "clams"):
            draft.tell("s.recipe.cut", {"good": good, "count": needs[good]})
        elif pick.chance(0.6):
            draft.tell("s.recipe.open", {"good": good})
    for number in range(len(draft.language.rules[f"s.recipe.{method}"].options)):
        draft.tell_option(f"s.recipe.{method}", number, env)
    if pick.chance(0.6):
        draft.tell("s.recipe.time", env)
    draft.tell("s.recipe.end", env)


def _way(draft: Draft) -> None:
    pick, places = draft.choices, draft.town.places
    start = pick.of(list(places.values()))
    for number in range(pick.between(1, 3)):
        end = pick.of([p for p in places.values() if p.row != start.row and p.column != start.column])
        env: Roles = dict(way_roles(start, end))
        if number == 0 or pick.chance(0.3):
            draft.line("t.way", env)
        if number == 0 or pick.chance(0.7):
            draft.tell("s.way.first", env)
        draft.tell("s.way.row", env)
        draft.tell("s.way.column", env)
        if pick.chance(0.6):
            draft.tell("s.way.end", place_roles(end))
        draft.end_paragraph()
        start = end


def _how(draft: Draft) -> None:
    pick, words = draft.choices, draft.words
    topic = str(pick.of(list(words.tables["topic", ""])))
    person = pick.of([p for p in draft.town.people.values() if p.job != "pupil"])
    env: Roles = {**person_roles(person), "topic": topic, "town": draft.town.name}
    draft.line("t.how", env)
    if pick.chance(0.6):
        draft.tell("s.how.first", env)
    steps = [str(step) for step in words.tables["step", ""] if str(step).rpartition("-")[0] == topic]
    numbered = pick.chance(0.4)
    for number, step in enumerate(steps, 1):
        if numbered:
            draft.number(number)
        link = "s.how.step.first" if number == 1 else "s.how.step"
        draft.tell("s.how.plain" if numbered else link, {"step": step})
    if numbered:
        draft.end_paragraph()
    if pick.chance(0.7):
        draft.tell("s.how.end", env)
