"""Tasks as self-instruct knows them: an instruction with instances, read from seeds, written as chats."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shizuku.errors import DocumentError


@dataclass(frozen=True, slots=True)
class Instance:
    """One input of a task and what should be answered to it."""

    input: str
    """What the instruction is applied to; empty where it needs nothing."""
    output: str
    """The answer."""


@dataclass(frozen=True, slots=True)
class Task:
    """An instruction and its instances."""

    instruction: str
    """What is to be done."""
    classification: bool
    """Whether the output is one of a few labels."""
    instances: tuple[Instance, ...]
    """Inputs with outputs; perhaps none."""
    id: str
    """Where it comes from: a seed's id, or the request that made it."""
    likeness: float = 0.0
    """ROUGE-L to the nearest task that was there before it."""

    @property
    def line(self) -> str:
        """The instruction on one line."""
        return " ".join(self.instruction.split())

    def as_dict(self) -> dict[str, Any]:
        """As a record of the seeds' shape."""
        record = asdict(self)
        record["is_classification"] = record.pop("classification")
        return record

    def chats(self) -> list[dict[str, Any]]:
        """A conversation for each instance: `{"id", "messages"}`."""
        return [
            {
                "id": f"{self.id}:{number}",
                "messages": [
                    {"role": "user", "content": user_words(self.instruction, instance.input)},
                    {"role": "assistant", "content": instance.output},
                ],
            }
            for number, instance in enumerate(self.instances)
        ]


def user_words(instruction: str, given: str) -> str:
    """What a user says: the instruction, and behind a blank line what it is about, if anything."""
    return f"{instruction}\n\n{given}" if given else instruction


def read_tasks(path: Path) -> list[Task]:
    """The tasks of a JSONL file of the seeds' shape: `instruction`, `instances` with `input` and `output`,
    `is_classification`, perhaps `id`.

    DocumentError for a file without tasks, and for the first line that is none, with its number.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines: texts may hold U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError(f"--seeds {path}: cannot be read: {error}") from error
    tasks = [_read(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if not tasks:
        raise DocumentError(f"--seeds {path}: no task in it")
    return tasks


def _read(line: str, place: str) -> Task:
    expected = 'expected {"instruction": …, "instances": [{"input": …, "output": …}], "is_classification": …}'
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DocumentError(f"{place}: not valid JSON ({error}); {expected}") from error
    if not isinstance(record, Mapping) or not isinstance(record.get("instruction"), str):
        raise DocumentError(f"{place}: no instruction; {expected}")
    instances, kind = record.get("instances", []), record.get("is_classification")
    if not isinstance(kind, bool) or not isinstance(instances, Sequence):
        raise DocumentError(f"{place}: {expected}")
    found = []
    for one in instances:
        if not isinstance(one, Mapping) or not all(isinstance(one.get(k), str) for k in ("input", "output")):
            raise DocumentError(f"{place}: the instance {one!r:.60} has no input and output; {expected}")
        found.append(Instance(one["input"].strip(), one["output"].strip()))
    instruction = record["instruction"].strip()
    if not instruction:
        raise DocumentError(f"{place}: the instruction is empty")
    return Task(instruction, kind, tuple(found), str(record.get("id") or place))
