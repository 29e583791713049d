"""Stories: a person's real day from morning to evening."""

from shizuku.data.town.days import Days
from shizuku.data.town.plans.scenes import tell_events
from shizuku.data.town.records import person_roles
from shizuku.data.town.voice import Draft


def story(draft: Draft, days: Days) -> None:
    """A person's day: an opening, what happened, an ending."""
    pick = draft.choices
    happened = {p: r for p, r in days.by_person(draft.day).items() if len(r) >= 2}
    who = pick.of(sorted(happened))
    person = draft.town.people[who]
    records = happened[who]
    draft.honorific = person.job != "pupil" and pick.chance(0.6)
    weather = {str(w.roles["part"]): w for w in days.weather(draft.day)}
    about = {
        **person_roles(person),
        "years": person.age(draft.day),
        "town": draft.town.name,
        "day": draft.day,
    }
    if pick.chance(0.4):
        draft.line("t.story", {**about, **draft.use(weather["morning"])})
        draft.blank()
    opening = pick.weighted(("weather", "person", "none"), (5, 4, 2))
    if opening == "weather":
        part = str(records[0].roles["part"])
        draft.tell("s.story.weather", {**draft.use(weather[part]), "day": draft.day, "town": draft.town.name})
    if opening == "person" or (opening == "weather" and pick.chance(0.5)):
        draft.tell("s.story.person", about)
    half = len(records) // 2 if len(records) > 4 or pick.chance(0.3) else len(records)
    tell_events(draft, days, who, records[:half], first=opening == "none")
    if half < len(records):
        draft.end_paragraph()
        if pick.chance(0.4):
            now = weather[str(records[half].roles["part"])]
            draft.tell("s.story.turn", {**draft.use(now), "who": who})
        tell_events(draft, days, who, records[half:])
    if pick.chance(0.75):
        draft.tell("s.story.end", {**about, **draft.use(weather["evening"])})
