"""Which JSON Schema keywords a grammar can keep; every other one is refused rather than passed over."""

from collections.abc import Iterator, Mapping
from typing import Any

from shizuku.errors import ConfigError

DEEPEST = 64
"""Levels of schemas inside one another."""

_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_ONE = ("items", "additionalProperties")
_ENFORCED = frozenset(
    {
        *_MAPS,
        *_LISTS,
        *_ONE,
        *("type", "enum", "const", "$ref", "required", "minProperties", "maxProperties"),
        *("minItems", "maxItems", "minLength", "maxLength", "pattern", "format"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    }
)
_SAY_NOTHING = frozenset(
    {
        *("title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly"),
        *("$comment", "$schema", "$id", "$anchor", "contentMediaType", "contentEncoding", "discriminator"),
    }
)
"""Keywords that describe, and refuse no value."""
_INSTEAD = {
    "nullable": 'write "type": ["…", "null"]',
    "additionalItems": "write prefixItems and items",
    "dependencies": "write the cases with anyOf",
    "not": "say what is allowed, with anyOf, enum or pattern",
    "if": "write the cases with anyOf",
    "uniqueItems": "say maxItems, and look for repetitions afterwards",
}


def check_schema(schema: object, place: str = "#") -> Mapping[str, Any]:
    """The schema, which stands at `place`, if every keyword in it can be kept.

    Raises ConfigError that names the first keyword that cannot, with its place.
    """
    if not isinstance(schema, Mapping):
        raise ConfigError(
            f"the schema is {schema!r:.40}; expected an object of JSON Schema such as "
            '{"type": "object", "properties": {…}}'
        )
    waiting: list[tuple[str, object, int]] = [(place, schema, 0)]
    while waiting:
        place, part, depth = waiting.pop()
        if isinstance(part, bool):
            continue
        if not isinstance(part, Mapping):
            raise ConfigError(f"schema, {place}: expected an object of JSON Schema, found {part!r:.40}")
        if depth > DEEPEST:
            raise ConfigError(f"schema, {place}: more than {DEEPEST} levels deep")
        _check_words(place, part)
        waiting += [(f"{place}/{word}", inner, depth + 1) for word, inner in _inside(place, part)]
    return schema


def _check_words(place: str, part: Mapping[str, Any]) -> None:
    for word, value in part.items():
        if word in _ENFORCED or word in _SAY_NOTHING or (word.startswith("x-") and word != "x-guidance"):
            continue
        hint = f": {_INSTEAD[word]}" if word in _INSTEAD else ""
        raise ConfigError(f"schema, {place}: the keyword {word!r} ({value!r:.40}) is not supported{hint}")
    for word in ("exclusiveMinimum", "exclusiveMaximum"):
        if isinstance(part.get(word), bool):
            raise ConfigError(f"schema, {place}: {word!r} is a number since draft 6, not {part[word]}")
    if isinstance(part.get("items"), list):
        raise ConfigError(f"schema, {place}: 'items' is one schema; write the list as 'prefixItems'")
    _check_least_properties(place, part)


def _check_least_properties(place: str, part: Mapping[str, Any]) -> None:
    """A grammar may write a free name twice, which counts once: only one free name can be demanded."""
    least, required = part.get("minProperties", 0), part.get("required", ())
    if not isinstance(least, int) or not isinstance(required, list | tuple):
        return  # the library says what is wrong with it
    if least > len(required) + 1:
        raise ConfigError(
            f"schema, {place}: the keyword 'minProperties' ({least}) is supported up to one more than the "
            f"{len(required)} names under 'required'"
        )


def _inside(place: str, part: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for word in _MAPS:
        if word in part:
            if not isinstance(part[word], Mapping):
                raise ConfigError(
                    f"schema, {place}: {word!r} is an object of schemas, not {part[word]!r:.40}"
                )
            yield from ((f"{word}/{name}", inner) for name, inner in part[word].items())
    for word in _LISTS:
        if word in part:
            if not isinstance(part[word], list | tuple):
                raise ConfigError(f"schema, {place}: {word!r} is a list of schemas, not {part[word]!r:.40}")
            yield from ((f"{word}/{number}", inner) for number, inner in enumerate(part[word]))
    yield from ((word, part[word]) for word in _ONE if word in part)
