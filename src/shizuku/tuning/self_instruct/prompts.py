"""What the generator is shown, and how its answers are read.

A prompt is a list that the model goes on with, so that base models can be asked too. Examples are drawn by
the caller; `stop` strings end an answer where the next item of the list would begin.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shizuku.tuning.self_instruct.tasks import Instance, Task

Language = Literal["en", "ja"]


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of the prompts in one language."""

    tasks: str
    """Introduces a list of tasks."""
    kinds: str
    """Introduces tasks with the answer whether they are classification."""
    kind: str
    """Asks it."""
    yes: str
    no: str
    inputs: str
    """Introduces tasks with input and output."""
    labels: str
    """Introduces classification tasks with labels first."""
    task: str
    input: str
    output: str
    label: str
    nothing: str
    """Stands where a task needs no input."""


WORDINGS: dict[Language, Wording] = {
    "en": Wording(
        tasks="Here are tasks for a helpful assistant. Each is different in its kind and its topic.",
        kinds="For each task: is it classification, that is, must the answer be one of a few fixed labels?",
        kind="Classification?",
        yes="Yes",
        no="No",
        inputs="Each task comes with an example: an input, where the task needs one, and the right output.",
        labels="Each classification task comes with examples: a label, and an input that has this label.",
        task="Task",
        input="Input",
        output="Output",
        label="Label",
        nothing="none",
    ),
    "ja": Wording(
        tasks="以下は、役に立つアシスタントへの課題です。種類も話題もそれぞれ異なります。",
        kinds="それぞれの課題は分類ですか。つまり、答えは決まった少数のラベルのどれかですか。",
        kind="分類ですか",
        yes="はい",
        no="いいえ",
        inputs="それぞれの課題に例があります。必要なら入力、そして正しい出力です。",
        labels="それぞれの分類の課題に例があります。ラベルと、そのラベルを持つ入力です。",
        task="課題",
        input="入力",
        output="出力",
        label="ラベル",
        nothing="なし",
    ),
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt with the strings at which an answer to it ends."""

    text: str
    """What the model goes on with."""
    stop: tuple[str, ...]
    """Strings that begin what is no more wanted."""


def tasks_prompt(words: Wording, shown: Sequence[str], wanted: int) -> Prompt:
    """Asks for `wanted` more tasks behind those shown."""
    items = "".join(f"{words.task} {number}: {line}\n" for number, line in enumerate(shown, start=1))
    last = f"{words.task} {len(shown) + wanted + 1}:"
    return Prompt(f"{words.tasks}\n\n{items}{words.task} {len(shown) + 1}:", ("\n\n", last))


def read_instructions(words: Wording, answer: str, *, cut: bool) -> tuple[list[str], int]:
    """The instructions of an answer, and how many were dropped because the answer was `cut` off."""
    parts = re.split(rf"\n? ?{re.escape(words.task)} ?\d+ ?[:：]", answer)
    found = [" ".join(part.split()) for part in parts]
    if cut:
        return found[:-1], 1
    return found, 0


def kind_prompt(words: Wording, shown: Sequence[Task], line: str) -> Prompt:
    """Asks whether a task is classification, behind examples of both."""
    items = "".join(
        f"{words.task}: {one.line}\n{words.kind} {words.yes if one.classification else words.no}\n\n"
        for one in shown
    )
    return Prompt(f"{words.kinds}\n\n{items}{words.task}: {line}\n{words.kind}", ("\n",))


def read_kind(words: Wording, answer: str) -> bool | None:
    """Yes, no, or None for an answer that says neither."""
    said = answer.strip().casefold()
    if said.startswith(words.yes.casefold()):
        return True
    return False if said.startswith(words.no.casefold()) else None


def instances_prompt(words: Wording, shown: Sequence[Task], line: str, *, labels_first: bool) -> Prompt:
    """Asks for instances: input first, or for classification the label first, lest all get one label."""
    intro = words.labels if labels_first else words.inputs
    items = "".join(_example(words, one, labels_first) for one in shown)
    begin = words.label if labels_first else words.input
    return Prompt(f"{intro}\n\n{items}{words.task}: {line}\n{begin}:", (f"\n{words.task}", "\n\n\n"))


def _example(words: Wording, task: Task, labels_first: bool) -> str:
    lines = [f"{words.task}: {task.line}"]
    for one in task.instances[:3]:
        given = one.input or words.nothing
        if labels_first:
            lines += [f"{words.label}: {one.output}", f"{words.input}: {given}"]
        else:
            lines += [f"{words.input}: {given}", f"{words.output}: {one.output}"]
    return "\n".join(lines) + "\n\n"


def read_instances(
    words: Wording, answer: str, *, labels_first: bool, cut: bool
) -> tuple[list[Instance], int]:
    """The instances of an answer that goes on behind `Input:` (or `Label:`), and how many were incomplete.

    The last one of an answer that was `cut` off is incomplete, as is one that lacks its second half.
    """
    first, second = (words.label, words.input) if labels_first else (words.input, words.output)
    parts = re.split(rf"\n+ ?{re.escape(first)} ?[:：]", answer)
    found, incomplete = [], 0
    for number, part in enumerate(parts):
        halves = re.split(rf"\n+ ?{re.escape(second)} ?[:：]", part)
        if len(halves) != 2 or (cut and number == len(parts) - 1):
            incomplete += 1
            continue
        a, b = (half.strip() for half in halves)
        given, output = (b, a) if labels_first else (a, b)
        found.append(Instance("" if _is_nothing(words, given) else given, output))
    return found, incomplete


def _is_nothing(words: Wording, given: str) -> bool:
    return given.casefold().strip(" .。()（）<>") in (words.nothing.casefold(), "n/a", "")
