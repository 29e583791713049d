"""A whole run of self-instruct: seeds read, tasks made, files written."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shizuku.progress import bar, say
from shizuku.text.likeness import most_alike
from shizuku.tuning.self_instruct.bootstrap import Bootstrap, Made
from shizuku.tuning.self_instruct.generators import Generator, open_generator
from shizuku.tuning.self_instruct.journal import Journal
from shizuku.tuning.self_instruct.page import write_page
from shizuku.tuning.self_instruct.settings import SelfInstructConfig
from shizuku.tuning.self_instruct.tasks import Task, read_tasks

CHAT, TASKS, DROPPED = "chat.jsonl", "tasks.jsonl", "dropped.jsonl"


def self_instruct(config: SelfInstructConfig, generator: Generator | None = None) -> dict[str, object]:
    """Make tasks as `config` says and write them; `generator` instead of the model that it names.

    Returns the numbers of the run. Writes `chat.jsonl` (`messages`, for tuning), `tasks.jsonl` (the seeds'
    shape), `dropped.jsonl` and `report.html` when it ends; until then `journal.jsonl` has all answers.
    Raises ConfigError and DocumentError for settings and seeds that can't be, ServerError if a server fails.
    """
    begun = time.perf_counter()
    seeds = read_tasks(config.seeds)
    with Journal(config.out, config.told(), resume=config.resume) as journal:
        known = len(journal)
        if known:
            say(f"going on behind {known:,} answers")
        made = _make(config, seeds, generator or _opened(config), journal)
        largest = most_alike([task.instruction for task in [*made.tasks, *made.bare]])
        written = _write(config.out, made)
        report = write_page(config, seeds, made, largest)
        seconds = time.perf_counter() - begun
    return {
        **written,
        "report": str(report),
        "tasks": len(made.tasks),
        "instances": sum(len(task.instances) for task in made.tasks),
        "classification": sum(task.classification for task in made.tasks),
        "requests": made.requests,
        "requests_before": known,
        "rounds": made.rounds,
        "ended": made.ended,
        "dropped": dict(made.reasons.most_common()),
        "dropped_instances": dict(made.dropped_instances.most_common()),
        "without_instances": len(made.bare),
        "most_alike": round(largest, 4),
        "seconds": round(seconds, 2),
    }


def planned(config: SelfInstructConfig) -> dict[str, object]:
    """What a run would do."""
    seeds = read_tasks(config.seeds)
    return {
        "dry_run": True,
        "model": config.model,
        "seeds": len(seeds),
        "seeds_that_are_classification": sum(task.classification for task in seeds),
        "tasks": config.tasks,
        "fewest_requests": 2 * config.tasks + -(-config.tasks // config.wanted),
        "out": str(config.out),
    }


def _opened(config: SelfInstructConfig) -> Generator:
    return open_generator(
        config.model,
        served=config.served_model,
        form=config.form,
        top_p=config.top_p,
        seed=config.seed,
        threads=config.threads,
    )


def _make(config: SelfInstructConfig, seeds: Sequence[Task], generator: Generator, journal: Journal) -> Made:
    with bar("self-instruct", total=config.tasks, unit="tasks") as progress:

        def told(made: Made) -> None:
            progress.update(
                completed=min(len(made.tasks), config.tasks),
                note=f"{made.requests:,} requests, {len(made.dropped):,} instructions dropped",
            )

        return Bootstrap(config, seeds, generator, journal).run(told)


def _write(out: Path, made: Made) -> dict[str, object]:
    _write_lines(out / CHAT, (chat for task in made.tasks for chat in task.chats()))
    _write_lines(out / TASKS, (task.as_dict() for task in made.tasks))
    _write_lines(out / DROPPED, (asdict(one) for one in made.dropped))
    return {"chat": str(out / CHAT), "tasks_path": str(out / TASKS)}


def _write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write the file whole or not at all."""
    building = path.with_name(f".{path.name}.writing")
    with building.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    building.replace(path)
