"""`<tool_call>{"name": …, "arguments": {…}}</tool_call>`: Hermes 2 and 3, Qwen 2.5 and 3, Granite 4 and many
others."""

from collections.abc import Sequence

from shizuku.text.tool_calls.calls import (
    Block,
    Broken,
    Format,
    Rule,
    Spell,
    Taken,
    Tool,
    after_blanks,
    calls_in_json,
    calls_schema,
    choice,
    ends_with,
    json_end,
    literal,
)

BEGINS, ENDS = "<tool_call>", "</tool_call>"


def _take(text: str, last: bool, tools: Sequence[Tool]) -> Taken:
    start = after_blanks(text, len(BEGINS))
    if start == len(text):
        return Broken("the call is cut off") if last else None
    if text[start] not in "{[":
        return Broken("a call begins with { here")
    end = json_end(text, start)
    if end is None:
        return Broken("the call is cut off") if last else None
    calls = calls_in_json(text[start:end])
    if isinstance(calls, Broken):
        return calls
    closed = ends_with(text, end, ENDS, last)
    return Block(closed, calls) if isinstance(closed, int) else closed


def _frame(tools: Sequence[Tool], several: bool, spell: Spell, rule: Rule) -> str:
    newline = literal("\n")
    return (
        choice("call", several, newline)
        + f"call: {spell(BEGINS)} {newline} value {newline} {spell(ENDS)}\n"
        + f"value: {rule(calls_schema(tools))}\n"
    )


HERMES = Format(name="hermes", begins=(BEGINS,), take=_take, frame=_frame)
