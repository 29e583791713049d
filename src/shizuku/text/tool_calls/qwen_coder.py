"""`<tool_call><function=name><parameter=key>value</parameter>…</function></tool_call>`: Qwen3-Coder,
Qwen 3.5, Nemotron 3 and others. Values are texts; what they mean is in the tool's schema."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shizuku.errors import ConfigError
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
    literal,
)

OUTER, OUTER_ENDS = "<tool_call>", "</tool_call>"
BEGINS, ENDS = "<function=", "</function>"
KEY, KEY_ENDS = "<parameter=", "</parameter>"
_SAY_NOTHING = frozenset({"type", "description", "title", "default", "examples"})


def _take(text: str, last: bool, tools: Sequence[Tool]) -> Taken:
    wrapped = text.startswith(OUTER)
    start = after_blanks(text, len(OUTER)) if wrapped else 0
    if not text.startswith(BEGINS, start):
        open_end = not last and BEGINS.startswith(text[start:])
        return None if open_end else Broken(f"expected {BEGINS} here")
    body = start + len(BEGINS)
    name, found, _ = text[body:].partition(">")
    if not found or "\n" in name:
        return Broken("the tool's name is cut off") if last or "\n" in name else None
    place = body + len(name) + 1
    schema = next((tool.parameters for tool in tools if tool.name == name), {})
    arguments: dict[str, Any] = {}
    while True:
        place = after_blanks(text, place)
        if text.startswith(ENDS, place):
            break
        if not text.startswith(KEY, place):
            open_end = any(marker.startswith(text[place:]) for marker in (KEY, ENDS))
            return None if open_end and not last else Broken(f"expected {KEY} or {ENDS} in a call")
        key, found, _ = text[place + len(KEY) :].partition(">")
        begin = place + len(KEY) + len(key) + 1
        end = text.find(KEY_ENDS, begin) if found else -1
        if end < 0:
            return Broken("the call is cut off") if last else None
        value = text[begin:end].removeprefix("\n").removesuffix("\n")
        arguments[key] = _value(value, schema.get("properties", {}).get(key, {}))
        place = end + len(KEY_ENDS)
    closed: int | Broken | None = place + len(ENDS)
    if wrapped:
        closed = ends_with(text, place + len(ENDS), OUTER_ENDS, last)
    return Block(closed, (ToolCall(name, arguments),)) if isinstance(closed, int) else closed


def _value(text: str, schema: object) -> Any:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if kind == "string":
        return text
    words = {"True": True, "False": False, "None": None}  # how Jinja writes them
    if text in words:
        return words[text]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _frame(tools: Sequence[Tool], several: bool, spell: Spell, rule: Rule) -> str:
    lines = [choice("call", several, literal("\n"))]
    names = " | ".join(f"function_{n}" for n in range(len(tools)))
    newline = literal("\n")
    lines.append(f"call: {spell(OUTER)} {newline} ({names}) {newline} {spell(OUTER_ENDS)}\n")
    for number, tool in enumerate(tools):
        parts = []
        required = tool.parameters.get("required", ())
        for place, (key, schema) in enumerate(tool.parameters.get("properties", {}).items()):
            rule_name = f"value_{number}_{place}"
            part = f"{literal(f'{KEY}{key}>' + chr(10))} {rule_name}"
            parts.append(part if key in required else f"({part})?")
            lines.append(_value_rule(rule_name, f"{tool.name}.{key}", schema, tool.parameters, rule))
        begin, end = literal(f"{BEGINS}{tool.name}>\n"), literal(ENDS)
        lines.append(f"function_{number}: {begin} {' '.join(parts)} {end}\n")
    return "".join(lines)


def _value_rule(name: str, place: str, schema: Any, whole: Mapping[str, Any], rule: Rule) -> str:
    ends = f"\n{KEY_ENDS}\n"
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if kind != "string":
        definitions = {word: whole[word] for word in ("$defs", "definitions") if word in whole}
        value = {**definitions, **schema} if isinstance(schema, Mapping) else {}
        return f"{name}: {name}_json {literal(ends)}\n{name}_json: {rule(value)}\n"
    words = [schema["const"]] if "const" in schema else schema.get("enum")
    unkept = sorted(set(schema) - _SAY_NOTHING - {"enum", "const"})
    if unkept:
        raise ConfigError(
            f"parameter {place}: this model writes strings without quotes, where the keyword {unkept[0]!r} "
            "is not supported; describe it in words"
        )
    if words is not None:
        return f"{name}: ({' | '.join(literal(str(word)) for word in words)}) {literal(ends)}\n"
    return f"{name}[suffix={literal(ends)}]: /(.|\\n)*/\n"


QWEN_CODER = Format(name="qwen-coder", begins=(OUTER, BEGINS), take=_take, frame=_frame)
