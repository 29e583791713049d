"""Shop arithmetic: real purchases of the day as problems, worked out and answered."""

from shizuku.data.town.days import Days
from shizuku.data.town.facts import Record
from shizuku.data.town.plans.scenes import Roles
from shizuku.data.town.voice import Draft

NOTES = (500, 1000, 2000, 5000, 10000)
"""What people pay with, in yen."""


def arithmetic(draft: Draft, days: Days) -> None:
    """One problem with its working and its answer."""
    pick = draft.choices
    draft.honorific = pick.chance(0.5)
    bought = [r for r in days.lived(draft.day) if r.kind == "purchase" and int(r.roles["count"]) > 1]
    kind = pick.weighted(("total", "change", "sum", "share", "more"), (4, 5, 4, 3, 2))
    if kind == "more" or not bought:
        _difference(draft, days)
    else:
        _purchase(draft, days, kind, pick.of(bought))


def _purchase(draft: Draft, days: Days, kind: str, record: Record) -> None:
    """What somebody bought: the total, the change, a second thing with it, or the shares."""
    pick = draft.choices
    env: Roles = {**draft.use(record), "day": draft.day, "total": record.roles["yen"]}
    total = int(env["total"])
    unit = {"good": env["good"], "place": env["place"], "yen": env["unit"]}
    if kind == "sum":
        good2 = pick.of([g for g in draft.town.places[env["place"]].goods if g != env["good"]])
        env["good2"], env["total2"] = good2, days.price(env["place"], good2, draft.day)
        env["total3"] = total + env["total2"]
    people = [n for n in (2, 3, 4, 5, 6) if total % n == 0]
    if kind == "share":
        if not people:
            kind = "change"
        else:
            env["people"] = pick.of(people)
            env["each"] = total // env["people"]
    if kind == "change":
        env["paid"] = next(note for note in NOTES if note > total) if total < 10000 else total + 1000
        env["change"] = env["paid"] - total
    if pick.chance(0.5):
        draft.line("t.sum", env)
    draft.tell("s.sum.buy", env)
    draft.tell("s.sum.unit", unit)
    if kind in ("sum", "share", "change"):
        draft.tell({"sum": "s.sum.and", "share": "s.sum.share", "change": "s.sum.pays"}[kind], env)
    draft.tell(f"s.ask.{ {'share': 'each', 'change': 'change'}.get(kind, 'total') }", env)
    draft.end_paragraph()
    draft.tell("s.sum.times", env)
    if kind != "total":
        draft.tell({"sum": "s.sum.plus", "share": "s.sum.divide", "change": "s.sum.minus"}[kind], env)
    if pick.chance(0.3):
        draft.end_paragraph()
    draft.tell(f"s.sum.answer.{ {'share': 'each'}.get(kind, kind) }", env)


def _difference(draft: Draft, days: Days) -> None:
    """One good in two shops: which price is higher, and by how much."""
    pick, town = draft.choices, draft.town
    pairs = []
    for good in sorted({g for shop in town.shops for g in shop.goods}):
        sellers = town.sellers(good)
        if len(sellers) == 2:
            prices = sorted(((days.price(s.id, good, draft.day), s.id) for s in sellers), reverse=True)
            if prices[0][0] > prices[1][0]:
                pairs.append((good, prices))
    good, ((dear, first), (cheap, second)) = pick.of(pairs)
    env: Roles = {
        "good": good,
        "paid": dear,
        "total": cheap,
        "change": dear - cheap,
        "day": draft.day,
        "place": first,
    }
    if pick.chance(0.5):
        draft.line("t.sum", env)
    draft.tell("s.sum.both", {"good": good, "place": first, "yen": dear, "day": draft.day})
    draft.tell("s.sum.both2", {"good": good, "place": second, "yen": cheap})
    draft.tell("s.ask.more", env)
    draft.end_paragraph()
    draft.tell("s.sum.less", env)
    draft.tell("s.sum.answer.more", env)
