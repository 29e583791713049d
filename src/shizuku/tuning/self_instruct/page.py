"""The report of a self-instruct run: what was kept, what was not and why, and how diverse it is."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from shizuku.report.page import Card, Figure, Page, Sample
from shizuku.report.plots import bars, histogram
from shizuku.text.likeness import word_count
from shizuku.tuning.self_instruct.bootstrap import TOO_ALIKE, Made
from shizuku.tuning.self_instruct.settings import SelfInstructConfig
from shizuku.tuning.self_instruct.tasks import Task
from shizuku.tuning.self_instruct.verb_object import counted

REPORT = "report.html"
VERBS, OBJECTS, SHOWN, SAMPLES = 20, 4, 16, 8
ENDED = {
    "tasks": "as many as were asked for",
    "requests": "the limit of requests was reached",
    "patience": "the last rounds kept nothing",
}


def write_page(config: SelfInstructConfig, seeds: Sequence[Task], made: Made, largest: float) -> Path:
    """Write the report into the run's folder; `largest` is the greatest ROUGE-L of any two kept."""
    page = Page(
        f"{len(made.tasks):,} tasks from {len(seeds)} seeds",
        f"Written by {config.model} in {made.requests:,} requests, seed {config.seed}: {ENDED[made.ended]}.",
    )
    instances = sum(len(task.instances) for task in made.tasks)
    classification = sum(task.classification for task in made.tasks)
    page.cards(
        [
            Card("tasks", f"{len(made.tasks):,}", f"{classification:,} of them classification"),
            Card("instances", f"{instances:,}", "conversations in chat.jsonl"),
            Card("instructions dropped", f"{len(made.dropped):,}", "by the filters below"),
            Card("most alike two kept", f"{largest:.3f}", f"ROUGE-L; dropped from {config.likeness:g} on"),
        ]
    )
    if made.tasks:
        _diversity(page, seeds, made.tasks)
        _likeness(page, made.tasks)
    _filters(page, made)
    if made.tasks:
        _samples(page, made.tasks)
    page.section("Go on", "The conversations are ready to tune on.")
    page.commands(f"shizuku tune MODEL --data {config.out / 'chat.jsonl'} --out tuned")
    return page.write(config.out / REPORT)


def _diversity(page: Page, seeds: Sequence[Task], tasks: Sequence[Task]) -> None:
    page.section(
        "How diverse",
        "The verb of each instruction and its object, by a rule for what instructions look like rather than "
        "by a parser: questions and statements have no such pair.",
    )
    pairs, without = counted(task.instruction for task in tasks)
    seed_pairs, seed_without = counted(task.instruction for task in seeds)
    verbs: Counter[str] = Counter()
    objects: dict[str, Counter[str]] = defaultdict(Counter)
    for (verb, thing), count in pairs.items():
        verbs[verb] += count
        objects[verb][thing] += count
    if pairs:
        page.figures(
            Figure(
                bars({verb: float(count) for verb, count in verbs.most_common(VERBS)}, x="instructions"),
                f"The {min(VERBS, len(verbs))} most frequent of {len(verbs):,} verbs.",
            ),
            Figure(
                bars(
                    {f"{verb} … {thing}": float(count) for (verb, thing), count in pairs.most_common(VERBS)},
                    x="instructions",
                ),
                f"The {min(VERBS, len(pairs))} most frequent of {len(pairs):,} pairs of verb and object.",
            ),
        )
        page.table(
            ("verb", "instructions", "different objects", "most frequent"),
            [
                [verb, count, len(objects[verb]), ", ".join(o for o, _ in objects[verb].most_common(OBJECTS))]
                for verb, count in verbs.most_common(VERBS)
            ],
        )
    rows: list[list[object]] = []
    for name, found, missing in (("seeds", seed_pairs, seed_without), ("made", pairs, without)):
        total = found.total() + missing
        rows.append([name, total, missing, len({verb for verb, _ in found}), len(found),
                     found.most_common(1)[0][1] / total if found else None])  # fmt: skip
    page.table(
        ("set", "instructions", "without a pair", "verbs", "pairs", "share of the most frequent pair"), rows
    )


def _likeness(page: Page, tasks: Sequence[Task]) -> None:
    page.section("How new", "What is near 0 is unlike everything that was there before it.")
    lengths = [word_count(task.instruction) for task in tasks]
    answers = [word_count(one.output) for task in tasks for one in task.instances]
    page.figures(
        Figure(
            histogram([task.likeness for task in tasks], x="ROUGE-L to the nearest", y="tasks"),
            "Each kept instruction beside the nearest of the seeds and of those kept before it.",
        ),
        Figure(histogram(lengths, x="words of the instruction", y="tasks"), "Lengths of the instructions."),
        Figure(histogram(answers, x="words of the output", y="instances"), "Lengths of the outputs."),
    )


def _filters(page: Page, made: Made) -> None:
    page.section("What was dropped", "Every instruction and instance that was not kept, by reason.")
    kept = len(made.tasks) + len(made.bare)
    page.table(
        ("instructions", "count"),
        [["kept", kept], *made.reasons.most_common(), ["kept, but without a sound instance", len(made.bare)]],
    )
    page.table(("instances", "count"), list(made.dropped_instances.most_common()))
    page.table(("is it classification?", "count"), list(made.kinds.most_common()))
    alike = [one for one in made.dropped if one.reason == TOO_ALIKE][:SHOWN]
    if alike:
        page.table(
            ("dropped", "nearest", "ROUGE-L"), [[one.text, one.nearest, one.likeness] for one in alike]
        )


def _samples(page: Page, tasks: Sequence[Task]) -> None:
    page.section("What it wrote", "Tasks at even distances, none picked out.")
    step = max(len(tasks) // SAMPLES, 1)
    shown = tasks[::step][:SAMPLES]
    page.samples(
        *[
            Sample(
                text="\n" + task.instances[0].output,
                prompt=task.chats()[0]["messages"][0]["content"] + "\n",
                label="classification" if task.classification else "",
            )
            for task in shown
        ]
    )
