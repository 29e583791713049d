"""GSM8K's calculator marks as calls of a tool.

An answer such as "He has 16-3 = <<16-3=13>>13 apples" (Cobbe et al. 2021, arXiv:2110.14168) becomes turns:
the assistant says "He has 16-3 =" and calls the calculator with "16-3", the tool says "13", the assistant
goes on with "13 apples". What the tool says is never learned: `shizuku tune` learns the assistant's turns.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shizuku.errors import DocumentError
from shizuku.text.problems import Problems
from shizuku.tuning.calculator import CALCULATOR, CalculatorError, calculate
from shizuku.tuning.conversations import read_records
from shizuku.tuning.turns import Refused

_MARK = re.compile(r"<<([^<>]*)>>")
_FINAL = re.compile(r"\n?#### *(.+?)\s*$")


def calculator_call(expression: str, said: str = "") -> list[dict[str, Any]]:
    """The two turns of a call: the assistant's, with what it said before, and the tool's exact result."""
    call = {
        "type": "function",
        "function": {"name": CALCULATOR.name, "arguments": {"expression": expression}},
    }
    return [
        {"role": "assistant", "content": said, "tool_calls": [call]},
        {"role": "tool", "name": CALCULATOR.name, "content": calculate(expression)},
    ]


def marked_turns(question: str, answer: str) -> list[dict[str, Any]]:
    """The turns of a problem whose answer has marks.

    Refused where it has none, where a mark is no equation, where its result is not the exact one (the words
    behind it would say another number than the tool), or where other words than the result follow it.
    """
    final = _FINAL.search(answer)
    if final is None:
        raise Refused("no final answer behind ####")
    parts = _MARK.split(answer[: final.start()])
    if len(parts) == 1:
        raise Refused("no calculator mark")
    turns: list[dict[str, Any]] = [{"role": "user", "content": question.strip()}]
    said = parts[0]
    for mark, following in zip(parts[1::2], parts[2::2], strict=True):
        expression, equals, result = mark.partition("=")
        if not equals or "=" in result:
            raise Refused("a mark is not expression=result")
        try:
            turns += calculator_call(expression.strip(), said.strip())
            exact = turns[-1]["content"]
            if calculate(result) != exact:
                raise Refused("a mark's result is not the exact one")
        except CalculatorError as error:
            raise Refused("a mark that the calculator refuses") from error
        if not following.lstrip().replace(",", "").startswith(result.strip()):
            raise Refused("the result does not follow its mark")
        said = following
    turns.append({"role": "assistant", "content": f"{said.strip()}\nThe answer is {final[1]}."})
    return turns


def marked_conversations(
    paths: Sequence[str | Path], *, problems: Problems | None = None
) -> list[dict[str, Any]]:
    """The problems of GSM8K's files as records that `shizuku tune` reads, each with the tool.

    What can't be turned into calls is counted in `problems`. DocumentError where nothing is left.
    """
    problems = problems if problems is not None else Problems()
    found = []
    for place, record in read_records(paths, problems=problems):
        try:
            found.append(_conversation(record))
        except Refused as reason:
            problems.add(str(reason), place)
    if not found:
        raise DocumentError(
            f"no problem with calculator marks in {', '.join(map(str, paths))}: "
            f"{problems.report() or 'empty'}. Expected records with question and answer, such as GSM8K's"
        )
    return found


def _conversation(record: Mapping[str, Any]) -> dict[str, Any]:
    question, answer = record.get("question"), record.get("answer")
    if not isinstance(question, str) or not isinstance(answer, str):
        raise Refused("no question and answer")
    return with_calculator(marked_turns(question, answer))


def with_calculator(turns: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A record of these turns and the calculator."""
    return {"messages": list(turns), "tools": [CALCULATOR.schema()]}
