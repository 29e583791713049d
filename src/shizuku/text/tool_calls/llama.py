"""`{"name": …, "parameters": {…}}`, and nothing else in the answer: Llama 3.1 to 3.3; with `<|python_tag|>`
before it now and then."""

from collections.abc import Sequence
from functools import partial

from shizuku.text.tool_calls.calls import (
    Block,
    Broken,
    Format,
    Rule,
    Spell,
    Taken,
    Tool,
    ToolCall,
    after_blanks,
    calls_in_json,
    calls_schema,
    choice,
    json_end,
)

BEGINS = "<|python_tag|>"


def take_json(text: str, last: bool, tools: Sequence[Tool]) -> Taken:
    """Calls written as JSON, one after another, perhaps with `;` in between."""
    marked = text.startswith(BEGINS)
    start = after_blanks(text, len(BEGINS) if marked else 0)
    calls: list[ToolCall] = []
    end = 0
    while True:
        if start == len(text):
            if last and calls:
                return Block(end, tuple(calls))
            return Broken("the call is cut off") if last else None
        if text[start] not in "{[":
            return Block(end, tuple(calls)) if calls else Broken("a call begins with { here")
        close = json_end(text, start)
        if close is None:
            return Broken("the call is cut off") if last else None
        found = calls_in_json(text[start:close])
        if isinstance(found, Broken):
            return found
        names = {tool.name for tool in tools}
        if not marked and names and not all(call.name in names for call in found):
            return Broken("the answer is JSON, but no tool has that name", plain=True)
        calls += found
        end = close
        start = after_blanks(text, end)
        if start < len(text) and text[start] == ";":  # what stands between two calls
            start = after_blanks(text, start + 1)


def frame_json(arguments: str, tools: Sequence[Tool], several: bool, spell: Spell, rule: Rule) -> str:
    """Calls whose arguments stand under the name `arguments`."""
    return choice("call", several, '"; "') + f"call: {rule(calls_schema(tools, arguments))}\n"


LLAMA = Format(
    name="llama", begins=(BEGINS,), take=take_json, frame=partial(frame_json, "parameters"), bare="{["
)
