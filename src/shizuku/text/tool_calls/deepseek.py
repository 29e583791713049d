"""`<｜tool▁call▁begin｜>name<｜tool▁sep｜>{…}<｜tool▁call▁end｜>`: DeepSeek V3.1; R1 and V3 write
`function<｜tool▁sep｜>name` and the arguments in a fence of code. Some calls stand in one frame."""

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
    json_end,
    literal,
    read_arguments,
)

FRAME, FRAME_ENDS = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, SEPARATOR, CALL_ENDS = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
FENCE, FENCE_ENDS = "```json", "```"


def _take(text: str, last: bool, tools: Sequence[Tool]) -> Taken:
    place = _past(text, 0, FRAME) if text.startswith(FRAME) else 0
    words: list[str] = []
    for marker in (CALL, SEPARATOR):
        found = text.find(marker, place)
        before = text[place:] if found < 0 else text[place:found]
        if found < 0 or "\n" in before:
            broken = last or "\n" in before
            return Broken(f"expected {marker} in a call") if broken else None
        words.append(before)
        place = found + len(marker)
    odd, name = words
    if odd:
        return Broken(f"expected {CALL} here")
    if name.strip() == "function":
        name, found_line, _ = text[place:].partition("\n")
        if not found_line:
            return Broken("the call is cut off") if last else None
        place = after_blanks(text, place + len(name))
        if not text.startswith(FENCE, place):
            waits = not last and FENCE.startswith(text[place:])
            return None if waits else Broken(f"expected {FENCE} behind the tool's name")
        place += len(FENCE)
    start = after_blanks(text, place)
    if start < len(text) and text[start] != "{":
        return Broken("the arguments begin with { here")
    end = json_end(text, start)
    if end is None:
        return Broken("the call is cut off") if last else None
    arguments = read_arguments(text[start:end])
    if arguments is None or not name.strip():
        return Broken(f"the arguments of {name.strip()!r} are no JSON object")
    closed = _closed(text, end, last)
    return Block(closed, (ToolCall(name.strip(), arguments),)) if isinstance(closed, int) else closed


def _past(text: str, place: int, marker: str) -> int:
    return after_blanks(text, place + len(marker))


def _closed(text: str, place: int, last: bool) -> int | None:
    """The place behind the closing markers that are there; None while another may come."""
    for marker in (FENCE_ENDS, CALL_ENDS, FRAME_ENDS):
        begin = after_blanks(text, place)
        if text.startswith(marker, begin):
            place = begin + len(marker)
        elif marker.startswith(text[begin:]) and not last:
            return None
    return place


def _frame(fenced: bool, tools: Sequence[Tool], several: bool, spell: Spell, rule: Rule) -> str:
    calls = []
    for number, tool in enumerate(tools):
        begin = f"{spell(SEPARATOR)} {literal(f'{tool.name}{chr(10)}{FENCE}{chr(10)}')}"
        head = f"{literal('function')} {begin}" if fenced else f"{literal(tool.name)} {spell(SEPARATOR)}"
        end = literal(f"\n{FENCE_ENDS}") if fenced else ""
        calls.append(f"call_{number}: {spell(CALL)} {head} arguments_{number} {end} {spell(CALL_ENDS)}\n")
        calls.append(f"arguments_{number}: {rule(tool.parameters)}\n")
    names = " | ".join(f"call_{n}" for n in range(len(tools)))
    newline = literal("\n") if fenced else ""
    row = f"call ({newline} call){{0,15}}" if several else "call"
    return f"start: {spell(FRAME)} {row} {spell(FRAME_ENDS)}\ncall: {names}\n" + "".join(calls)


DEEPSEEK = Format(name="deepseek", begins=(FRAME, CALL), take=_take, frame=partial(_frame, False))
DEEPSEEK_R1 = Format(name="deepseek-r1", begins=(FRAME, CALL), take=_take, frame=partial(_frame, True))
