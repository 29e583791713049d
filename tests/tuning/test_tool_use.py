"""A conversation with tools in the loop: calls are run, mistakes go back to the model, the loop ends."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from shizuku.errors import ConfigError
from shizuku.text.conversation import Message, Usage
from shizuku.text.tool_calls.reader import take_tool_calls
from shizuku.tuning.calculator import CALCULATOR
from shizuku.tuning.tool_use import Tool, answer_with_tools

ASKED = [{"role": "user", "content": "What is 354*139?"}]


class Scripted:
    """Says its lines one after another, read as a model's answers are; keeps what it was asked."""

    def __init__(self, *lines: str, finish: str = "stop") -> None:
        self.lines, self.finish = list(lines), finish
        self.asked: list[list[Mapping[str, Any]]] = []
        self.tools: Sequence[Mapping[str, Any]] | None = None

    def respond(self, messages: Sequence[Mapping[str, Any]], tools: Any = None, **settings: Any) -> Message:
        self.asked.append(list(messages))
        self.tools = tools
        content, calls = take_tool_calls(self.lines.pop(0))
        return Message(content=content, tool_calls=calls, usage=Usage(1, 1), finish=self.finish)


def called(expression: str, name: str = "calculator", key: str = "expression") -> str:
    return f'It is\n<tool_call>\n{{"name": "{name}", "arguments": {{"{key}": "{expression}"}}}}\n</tool_call>'


def test_a_call_is_run_and_its_result_read() -> None:
    model = Scripted(called("354*139"), "49206 is the answer.")
    answer = answer_with_tools(model, ASKED, [CALCULATOR])
    assert answer.content == "49206 is the answer." and answer.finish == "stop"
    assert [turn["role"] for turn in answer.messages] == ["assistant", "tool", "assistant"]
    assert answer.messages[1] == {"role": "tool", "name": "calculator", "content": "49206"}
    assert answer.calls == [{"name": "calculator", "arguments": {"expression": "354*139"}}]
    assert answer.words == "It is 49206 is the answer."
    assert model.asked[1] == [*ASKED, *answer.messages[:2]]
    assert model.tools == [CALCULATOR.schema()]


def test_results_stand_in_the_calls_order_and_under_their_ids() -> None:
    both = [{"name": "calculator", "id": name, "arguments": {"expression": f"{name}+1"}} for name in "78"]
    line = "".join(f"<tool_call>\n{json.dumps(one)}\n</tool_call>" for one in both)
    turns = answer_with_tools(Scripted(line, "8 and 9."), ASKED, [CALCULATOR]).messages
    assert [(turn["tool_call_id"], turn["content"]) for turn in turns[1:3]] == [("7", "8"), ("8", "9")]
    assert [call["id"] for call in turns[0]["tool_calls"]] == ["7", "8"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (called("1/0"), "error: division by zero"),
        (called("9**9**9"), "error: the result is too large"),
        (called("1+1", name="clock"), "error: there is no tool 'clock', only calculator"),
        (called("1+1", key="sum"), "error: missing a required argument: 'expression'"),
        (
            '<tool_call>\n{"name": "calculator", "arguments": {"expression": 3}}\n</tool_call>',
            "must be a string",
        ),
        (
            '<tool_call>\n{"name": "calculator", "arguments": {"expr\n</tool_call>',
            "error: the call is cut off",
        ),
    ],
)
def test_what_is_wrong_with_a_call_is_told_to_the_model(line: str, told: str) -> None:
    model = Scripted(line, "I cannot say.")
    answer = answer_with_tools(model, ASKED, [CALCULATOR])
    assert answer.content == "I cannot say."
    assert told in answer.messages[1]["content"] and answer.messages[1]["role"] == "tool"


def test_the_loop_ends() -> None:
    model = Scripted(*[called("1+1")] * 3)
    answer = answer_with_tools(model, ASKED, [CALCULATOR], limit=3)
    assert answer.finish == "limit" and len(answer.calls) == 3 and not model.lines
    cut = answer_with_tools(Scripted('It is <tool_call>\n{"na', finish="length"), ASKED, [CALCULATOR])
    assert cut.finish == "length" and len(cut.messages) == 1
    with pytest.raises(ConfigError, match="limit 0"):
        answer_with_tools(Scripted(), ASKED, [CALCULATOR], limit=0)


def test_a_fault_of_the_program_is_not_hidden_from_it() -> None:
    broken = Tool(name="calculator", description="", parameters={}, run=lambda expression: str(1 // 0))
    with pytest.raises(ZeroDivisionError):
        answer_with_tools(Scripted(called("1")), ASKED, [broken])
