"""Letters: a person tells somebody of the day, and passes on what others did."""

from shizuku.data.town.days import TOLD, Days
from shizuku.data.town.plans.scenes import news_of, tell_events
from shizuku.data.town.records import person_roles
from shizuku.data.town.voice import Draft


def letter(draft: Draft, days: Days) -> None:
    """A letter from somebody who lived the day to somebody else in the town."""
    pick, town = draft.choices, draft.town
    happened = {p: r for p, r in days.by_person(draft.day).items() if len(r) >= 2}
    who = pick.of(sorted(happened))
    gifts = [r for r in days.lived(draft.day) if r.kind == "gift" and r.roles["whom"] == who]
    if gifts:
        whom = str(gifts[0].roles["who"])
    else:
        whom = pick.of(
            [p.id for p in town.people.values() if p.id != who and p.held_out == town.people[who].held_out]
        )
    draft.speaker, draft.listener, draft.honorific = who, whom, True
    about = {**person_roles(town.people[who]), "whom": whom, "town": town.name, "day": draft.day}
    if pick.chance(0.8):
        draft.line("t.letter.date", about)
    draft.line("s.letter.hello", about)
    if pick.chance(0.4):
        draft.blank()
    draft.tell("s.letter.open", about)
    if gifts:
        draft.tell("s.letter.thanks", {**draft.use(gifts[0]), "who": who, "whom": whom})
    weather = {str(w.roles["part"]): w for w in days.weather(draft.day)}
    records = happened[who]
    if pick.chance(0.5):
        draft.tell("s.letter.weather", draft.use(weather[str(records[0].roles["part"])]))
    if pick.chance(0.5):
        draft.end_paragraph()
    start = pick.below(2) if len(records) > 3 else 0
    tell_events(draft, days, who, records[start : start + pick.between(2, 5)], first=True, style="s.letter.")
    draft.end_paragraph()
    known = [r for r in days.lived(draft.day) if r.kind in TOLD and r.roles["who"] not in (who, whom)]
    for record in pick.some(known, pick.weighted((0, 1, 2), (3, 5, 2))):
        draft.tell("s.letter.news", {"1": news_of(draft, record, who)})
    if pick.chance(0.35):
        shop = pick.of(town.shops)
        good = pick.of(shop.goods)
        yen = days.price(shop.id, good, draft.day)
        draft.tell("s.letter.price", {"good": good, "place": shop.id, "yen": yen})
    for number in pick.some(range(len(draft.language.rules["s.letter.about"].options)), pick.between(0, 2)):
        draft.tell_option("s.letter.about", number, about)
    draft.tell("s.letter.bye", about)
    draft.line("t.letter.sign", about)
