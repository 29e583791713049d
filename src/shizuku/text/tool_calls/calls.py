"""Calls of tools, and what a format of writing them consists of."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shizuku.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for."""

    name: str
    """Name of the tool."""
    arguments: Mapping[str, Any]
    """Its arguments by name."""
    id: str = ""
    """What the model calls this call, where its format has such names."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that may be called."""

    name: str
    """Its name."""
    parameters: Mapping[str, Any]
    """JSON Schema of its arguments, an object's."""


@dataclass(frozen=True, slots=True)
class Block:
    """Calls found at the beginning of a text."""

    end: int
    """How many characters of the text they take."""
    calls: tuple[ToolCall, ...]
    """The calls, in their order."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The text begins like a call but is none, whatever follows."""

    reason: str
    """What is wrong."""
    plain: bool = False
    """Whether it may well be meant as JSON rather than as a call."""


Taken = Block | Broken | None
"""None: what is there may still become a call."""

Spell = Callable[[str], str]
"""A marker as a symbol of a Lark grammar: a control token by its id, everything else as a literal."""

Rule = Callable[[Mapping[str, Any]], str]
"""A JSON Schema as the right side of a rule in a Lark grammar."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """A way in which models write calls."""

    name: str
    """How settings call it."""
    begins: tuple[str, ...]
    """Markers that open a call anywhere in an answer."""
    take: Callable[[str, bool, Sequence[Tool]], Taken]
    """`(text, last, tools)`: the calls at the beginning of a text that begins with a marker; `last` when
    nothing follows. Where it has given a result, more text would not change it."""
    frame: Callable[[Sequence[Tool], bool, Spell, Rule], str]
    """`(tools, several, spell, rule)`: a Lark grammar of one call of these tools, or of several in a row."""
    bare: str = ""
    """Characters with which an answer that is nothing but calls may begin, without a marker."""


def read_tools(tools: Sequence[Mapping[str, Any]]) -> tuple[Tool, ...]:
    """The tools of a request (`{"type": "function", "function": {"name": …, "parameters": …}}`).

    Raises ConfigError for what is none. A schema that lists its properties, and says nothing of others,
    allows no others here: models would invent some.
    """
    found: dict[str, Tool] = {}
    for number, entry in enumerate(tools):
        function = entry.get("function", entry) if isinstance(entry, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(name, str) or not name:
            raise ConfigError(
                f'tools[{number}] is {entry!r:.60}; expected {{"type": "function", "function": '
                '{"name": …, "parameters": {…}}}'
            )
        parameters = function.get("parameters") or {}
        if not isinstance(parameters, Mapping):
            raise ConfigError(
                f"tools[{number}] ({name}): parameters must be a JSON Schema, not {parameters!r:.40}"
            )
        if name in found:
            raise ConfigError(f"tools[{number}]: there are two tools named {name!r}")
        found[name] = Tool(name, _closed(parameters))
    return tuple(found.values())


def _closed(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    elsewhere = {"$ref", "anyOf", "allOf", "oneOf", "patternProperties"} & set(parameters)
    if elsewhere or (parameters and "properties" not in parameters):
        return {"type": "object", **parameters}
    return {"type": "object", "properties": {}, "additionalProperties": False, **parameters}


def calls_schema(tools: Sequence[Tool], arguments: str = "arguments") -> dict[str, Any]:
    """JSON Schema of one call `{"name": …, arguments: {…}}` of one of `tools`."""
    definitions = {f"tool_{n}": _moved(tool.parameters, f"tool_{n}") for n, tool in enumerate(tools)}
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, arguments: {"$ref": f"#/$defs/tool_{number}"}},
            "required": ["name", arguments],
            "additionalProperties": False,
        }
        for number, tool in enumerate(tools)
    ]
    return {"$defs": definitions, "anyOf": calls}


def _moved(schema: Any, name: str) -> Any:
    """The schema with its references to itself as they are once it stands under `$defs/name`."""
    if isinstance(schema, list | tuple):
        return [_moved(part, name) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved = {
        word: part if word in ("const", "enum", "default", "examples") else _moved(part, name)
        for word, part in schema.items()
    }
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = f"#/$defs/{name}{reference[1:]}"
    return moved


def json_end(text: str, start: int) -> int | None:
    """Where the JSON object or list that begins at `start` ends; None if it has not ended yet."""
    depth, quoted, place = 0, False, start
    while place < len(text):
        character = text[place]
        if quoted:
            if character == "\\":
                place += 1
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
            if depth == 0:
                return place + 1
        place += 1
    return None


def calls_in_json(text: str) -> tuple[ToolCall, ...] | Broken:
    """The calls of a JSON text: an object with a name and arguments (or parameters), or a list of them."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Broken(f"the call is not valid JSON: {error}")
    calls = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            return Broken("a call has no name", plain=True)
        arguments = read_arguments(item.get("arguments", item.get("parameters", {})))
        if arguments is None:
            return Broken(f"the arguments of {item['name']!r} are no object")
        calls.append(ToolCall(item["name"], arguments, str(item.get("id", ""))))
    return tuple(calls) if calls else Broken("the list of calls is empty")


def read_arguments(value: object) -> dict[str, Any] | None:
    """Arguments as a mapping; some models write them as a string of JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def after_blanks(text: str, place: int) -> int:
    """The first place from `place` on that holds no blank."""
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def ends_with(text: str, place: int, marker: str, last: bool) -> int | Broken | None:
    """The place behind `marker`, which must stand at `place` after blanks; `last`: it may be left out."""
    begin = after_blanks(text, place)
    if text.startswith(marker, begin):
        return begin + len(marker)
    if marker.startswith(text[begin:]):  # all that is there of it so far, perhaps nothing
        return (place if begin == len(text) else Broken(f"{marker} is cut off")) if last else None
    return Broken(f"expected {marker} behind a call")


def literal(text: str) -> str:
    """`text` as a literal of a Lark grammar."""
    return json.dumps(text, ensure_ascii=False)


def choice(rule: str, several: bool, between: str = "") -> str:
    """The start of a grammar: `rule`, or up to 16 in a row."""
    return f"start: {rule} ({between} {rule}){{0,15}}\n" if several else f"start: {rule}\n"
