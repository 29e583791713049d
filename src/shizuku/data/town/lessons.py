"""Lessons: questions about a town with their answers, and what of them is kept for an examination.

Every answer is one sentence that the town's grammar can write, so the judge can check it. Held out are

- `rephrased`: facts that the lessons ask for, in a phrasing in which they never ask for that fact;
- `unasked`: facts that no lesson asks for in any phrasing or language, so that only the documents tell
  them (a couple, or somebody's job, place of work and shop, are held out together);
- `yes or no`: such facts, and others in a question that no lesson has;
- `sums`: sums up to 20 of two numbers that are both 6 or more, and the differences that belong to them:
  no lesson asks for one in any language or wording, nor passes through one (`number_lessons`);
- `strangers`: real names that nobody in the town bears (lessons have invented ones), and the people whom
  the training documents never name;
- `unknown`: topics and places that neither the town nor a lesson knows. To these the answer is that one
  does not know.
"""

from collections.abc import Iterator

from shizuku.data.town.english import lessons as english
from shizuku.data.town.facts import Record, Value
from shizuku.data.town.japanese import lessons as japanese
from shizuku.data.town.languages import languages_of
from shizuku.data.town.lesson import Lesson, Lessons
from shizuku.data.town.number_lessons import number_lessons
from shizuku.data.town.randomness import Choices
from shizuku.data.town.records import standing_records
from shizuku.data.town.strangers import invented, real_strangers
from shizuku.data.town.teacher import Teacher
from shizuku.data.town.world import Town

# Topic -> the kind of record it asks about, and the role that is the answer.
TOPICS: dict[str, tuple[str, str]] = {
    "job": ("person", "job"), "workplace": ("person", "workplace"), "street": ("person", "street"),
    "partner": ("partner", "whom"), "pet": ("pet", "petname"), "place": ("place", "street"),
    "closed": ("place", "weekday"), "hours": ("place", "opens"), "owner": ("owner", "who"),
    "sold": ("sold", "place"), "author": ("author", "who"), "dish": ("dish", "minutes"),
}  # fmt: skip
YES_OR_NO = ("job", "street", "partner", "closed")
WORK = ("job", "workplace", "owner")
LOOK_UPS = ("rephrased", "unasked", "yes or no")
"""The examinations that the town's facts decide."""
UNASKED = 0.1
"""Share of the facts that no lesson asks for, at least."""
WORDS = {"en": english, "ja": japanese}


def town_lessons(town: Town, *, seed: int = 0, facts: int | None = None) -> Lessons:
    """The lessons about a town, in order of topics; the same for the same town and seed.

    They ask for about `facts` of its facts, drawn by the seed, at most (and by default) for nine in ten.
    """
    lessons = Lessons()
    known = [(topic, record) for topic in TOPICS for record in _records(town, topic)]
    share = UNASKED if facts is None else max(UNASKED, 1 - facts / len(known))
    unasked = {(topic, record.id) for topic, record in known if _unasked(seed, topic, record, share)}
    values = {
        topic: sorted({record.roles[role] for about, record in known if about == topic}, key=str)
        for topic, (_, role) in TOPICS.items()
    }
    for language in languages_of(town).values():
        teacher = Teacher(town, language, seed)
        for topic, record in known:
            asked = (topic, record.id) not in unasked
            _look_up(teacher, lessons, topic, record, asked)
            if topic in YES_OR_NO:
                _yes_or_no(teacher, lessons, topic, record, values[topic], asked)
        _strangers(teacher, lessons, [fact for fact in known if fact[1].kind == "person"])
        _unknown(teacher, lessons)
        _talk(teacher, lessons)
        number_lessons(teacher, lessons)
    return lessons


def _records(town: Town, topic: str) -> Iterator[Record]:
    """The records of a topic that the training documents may tell of and that have one answer."""
    hidden = {person.id for person in town.people.values() if person.held_out}
    for record in standing_records(town):
        if record.kind != TOPICS[topic][0] or hidden & set(map(str, record.roles.values())):
            continue
        if topic == "sold" and len(town.sellers(str(record.roles["good"]))) > 1:
            continue
        if topic in WORK and record.roles.get("job") in ("retired", "pupil") and topic == "workplace":
            continue
        yield record


def _unasked(seed: int, topic: str, record: Record, share: float) -> bool:
    """Whether no lesson asks for the fact, as for this share; facts that tell each other go together."""
    key = record.id
    if topic in WORK:
        key = f"work-{record.roles['who']}"
    elif topic == "partner":
        key = "-".join(sorted((str(record.roles["who"]), str(record.roles["whom"]))))
    return Choices(seed, "unasked", topic if topic not in WORK else "work", key).chance(share)


def _look_up(teacher: Teacher, lessons: Lessons, topic: str, record: Record, asked: bool) -> None:
    env = dict(record.roles)
    count = teacher.phrasings(f"q.lesson.{topic}")
    examined = Choices(teacher.seed, "rephrased", teacher.name, topic, record.id).below(count)
    for number in range(count):
        fact = f"{record.id}.{TOPICS[topic][1]}"
        lesson = teacher.lesson(topic, topic, number, topic, env, fact=fact)
        if number == examined:
            lessons.examine("rephrased" if asked else "unasked", lesson)
        elif asked:
            lessons.train.append(lesson)


def _yes_or_no(
    teacher: Teacher, lessons: Lessons, topic: str, record: Record, values: list[Value], asked: bool
) -> None:
    """One question that is right and one that is wrong about each fact; of a fifth one is examined."""
    role = TOPICS[topic][1]
    pick = Choices(teacher.seed, "yes or no", teacher.name, topic, record.id)
    others = [value for value in values if value not in (record.roles[role], record.roles.get("who"))]
    wrong = {**record.roles, role: pick.of(others)}
    fact = f"{record.id}.{role}"
    pair = [
        teacher.lesson("yes", f"is.{topic}", 0, f"yes.{topic}", dict(record.roles), fact=fact),
        teacher.lesson("no", f"is.{topic}", 0, f"no.{topic}", wrong, dict(record.roles), fact=fact),
    ]
    examined = pick.below(10)
    for number, lesson in enumerate(pair):
        # Where one is examined the other is not taught: it would be answered in its place.
        if examined == number or (not asked and examined % 2 == number):
            lessons.examine("yes or no", lesson)
        elif asked and examined > 1:
            lessons.train.append(lesson)


def _strangers(teacher: Teacher, lessons: Lessons, facts: list[tuple[str, Record]]) -> None:
    pick = Choices(teacher.seed, "strangers", teacher.name)
    town = teacher.town
    nobody = real_strangers(town, teacher.name, pick)
    nobody += [teacher.full(person.id) for person in town.people.values() if person.held_out]
    for number, (topic, record) in enumerate(facts):
        real = teacher.full(str(record.roles["who"]))
        ask = f"is.{topic}" if topic in YES_OR_NO and pick.chance(0.2) else topic
        phrasing = pick.below(teacher.phrasings(f"q.lesson.{ask}"))
        known = teacher.lesson(topic, ask, phrasing, topic, dict(record.roles))
        lessons.train.append(teacher.stranger(known, real, invented(teacher.name, pick)))
        if number % 7 == 0:
            lessons.examine("strangers", teacher.stranger(known, real, pick.of(nobody)))


def _unknown(teacher: Teacher, lessons: Lessons) -> None:
    """Topics and places that nobody knows of; a fourth of them are examined only."""
    words, pick = WORDS[teacher.name], Choices(teacher.seed, "unknown", teacher.name)
    suffix = "" if teacher.name == "en" else "さん"
    people = [teacher.full(p.id) + suffix for p in teacher.town.people.values() if not p.held_out]

    def add(question: str, examined: bool) -> None:
        lesson = Lesson(
            question=teacher.language.words.finish(question), answer=teacher.unknown, language=teacher.name,
            topic="unknown",
        )  # fmt: skip
        if examined:
            lessons.examine("unknown", lesson)
        else:
            lessons.train.append(lesson)

    for number, topic in enumerate(pick.shuffled(words.UNKNOWN_TOPICS)):
        examined = number < len(words.UNKNOWN_TOPICS) // 4
        for person in pick.some(people, 10 if examined else 30):
            add(topic.format(person), examined)
    for number, place in enumerate(pick.shuffled(words.UNKNOWN_PLACES)):
        for asked in words.WHERE_IS:
            add(asked.format(place), number < len(words.UNKNOWN_PLACES) // 4)


def _talk(teacher: Teacher, lessons: Lessons) -> None:
    env: dict[str, Value] = {"town": teacher.town.name}
    for topic in ("hello", "self", "thanks"):
        for number in range(teacher.phrasings(f"q.lesson.{topic}")):
            lessons.train += [teacher.lesson(topic, topic, number, topic, env)] * 10
