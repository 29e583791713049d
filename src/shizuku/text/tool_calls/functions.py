"""`<function=name>{…}</function>`: functionary for Llama 3.1, and Llama 3's other way."""

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
    choice,
    ends_with,
    json_end,
    literal,
    read_arguments,
)

BEGINS, ENDS = "<function=", "</function>"


def _take(text: str, last: bool, tools: Sequence[Tool]) -> Taken:
    name, found, _ = text[len(BEGINS) :].partition(">")
    if not found or "\n" in name:
        return Broken("the tool's name is cut off") if last or "\n" in name else None
    start = after_blanks(text, len(BEGINS) + len(name) + 1)
    if start < len(text) and text[start] != "{":
        return Broken(f"the arguments of {name!r} begin with {{ here")
    end = json_end(text, start)
    if end is None:
        return Broken("the call is cut off") if last else None
    arguments = read_arguments(text[start:end])
    if arguments is None or not name.strip():
        return Broken(f"the arguments of {name!r} are no JSON object")
    closed = ends_with(text, end, ENDS, last)
    call = ToolCall(name.strip(), arguments)
    return Block(closed, (call,)) if isinstance(closed, int) else closed


def _frame(tools: Sequence[Tool], several: bool, spell: Spell, rule: Rule) -> str:
    calls = [
        f"call_{n}: {literal(f'{BEGINS}{tool.name}>')} arguments_{n} {spell(ENDS)}\n"
        f"arguments_{n}: {rule(tool.parameters)}\n"
        for n, tool in enumerate(tools)
    ]
    names = " | ".join(f"call_{n}" for n in range(len(tools)))
    return choice("call", several) + f"call: {names}\n" + "".join(calls)


FUNCTIONS = Format(name="functions", begins=(BEGINS,), take=_take, frame=_frame)
