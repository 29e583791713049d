"""`[TOOL_CALLS][{"name": …, "arguments": {…}}]`, and since 2025 `[TOOL_CALLS]name[ARGS]{…}`: Mistral."""

from collections.abc import Sequence

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
    literal,
    read_arguments,
)

BEGINS, ARGUMENTS, ID = "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"


def _take(text: str, last: bool, tools: Sequence[Tool]) -> Taken:
    start = after_blanks(text, len(BEGINS))
    named = start < len(text) and text[start] not in "{["
    head = text[start:]
    if named:
        head, found, _ = head.partition(ARGUMENTS)
        if not found or "\n" in head:
            cut_off = Broken(f"expected {ARGUMENTS} behind the tool's name")
            return cut_off if last or "\n" in head else None
        start = after_blanks(text, start + len(head) + len(ARGUMENTS))
    if start < len(text) and text[start] not in "{[":
        return Broken("the arguments begin with { here")
    end = json_end(text, start)
    if end is None:
        return Broken("the call is cut off") if last else None
    if not named:
        calls = calls_in_json(text[start:end])
        return calls if isinstance(calls, Broken) else Block(end, calls)
    name, _, call_id = head.strip().partition(ID)
    arguments = read_arguments(text[start:end])
    if arguments is None or not name:
        return Broken(f"the arguments of {name!r} are no JSON object")
    return Block(end, (ToolCall(name, arguments, call_id),))


def _list_frame(tools: Sequence[Tool], several: bool, spell: Spell, rule: Rule) -> str:
    one = calls_schema(tools)
    calls = {
        "$defs": {**one["$defs"], "call": {"anyOf": one["anyOf"]}},
        "type": "array",
        "items": {"$ref": "#/$defs/call"},
        "minItems": 1,
        "maxItems": 16 if several else 1,
    }
    return f"start: {spell(BEGINS)} calls\ncalls: {rule(calls)}\n"


def _named_frame(tools: Sequence[Tool], several: bool, spell: Spell, rule: Rule) -> str:
    calls = [
        f"call_{n}: {spell(BEGINS)} {literal(tool.name)} {spell(ARGUMENTS)} arguments_{n}\n"
        f"arguments_{n}: {rule(tool.parameters)}\n"
        for n, tool in enumerate(tools)
    ]
    names = " | ".join(f"call_{n}" for n in range(len(tools)))
    return choice("call", several) + f"call: {names}\n" + "".join(calls)


MISTRAL = Format(name="mistral", begins=(BEGINS,), take=_take, frame=_list_frame)
MISTRAL_NAMED = Format(name="mistral-named", begins=(BEGINS,), take=_take, frame=_named_frame)
