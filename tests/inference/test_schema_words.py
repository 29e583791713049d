"""What a grammar cannot keep is refused by name, before the first token."""

from typing import Any

import pytest

from shizuku.errors import ConfigError
from shizuku.inference import grammar
from shizuku.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["".join(map(chr, range(32, 127)))], None, kind="characters")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "array", "uniqueItems": True}, "'uniqueItems'"),
        ({"properties": {"a": {"items": {"not": {"type": "null"}}}}}, "#/properties/a/items.*'not'"),
        ({"type": "integer", "minimun": 3}, "'minimun'"),
        ({"type": "string", "nullable": True}, "'nullable'.*null"),
        ({"if": {}, "then": {}}, "'if'"),
        ({"type": "string", "format": "postal-code"}, "postal-code"),
        ({"type": "strin"}, "strin"),
        ({"$ref": "#/$defs/none"}, "none"),
        ({"$ref": "https://example.org/schema.json"}, "example.org"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
        ({"type": "string", "pattern": "("}, "unclosed group"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-ahead"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "Unsatisfiable"),
        ({"type": "string", "minLength": -1}, "minLength"),
        ({"type": "number", "minimum": 1, "exclusiveMinimum": True}, "draft 6"),
        ({"type": "array", "items": [{}]}, "prefixItems"),
        ({"type": "object", "minProperties": 3}, "'minProperties'"),
        ({"x-guidance": {"lenient": True}, "type": "string"}, "'x-guidance'"),
        ({"properties": {"a": 3}}, "#/properties/a.*3"),
        ({"properties": []}, "'properties' is an object"),
        ({"const": "\ud800"}, "surrogate"),
        ({"const": float("nan")}, "cannot be written as JSON"),
        ({"enum": [{1, 2}]}, "cannot be written as JSON"),
        ('{"type": ', "not JSON"),
        ("[1]", "expected an object of JSON Schema"),
    ],
)
def test_a_schema_that_cannot_be_kept_is_refused(schema: Any, said: str, tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match=said):
        grammar.json_schema(schema, tokenizer)


def test_a_schema_too_deep_is_refused(tokenizer: Tokenizer) -> None:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(ConfigError, match="levels deep"):
        grammar.json_schema(schema, tokenizer)


@pytest.mark.parametrize("pattern", ["(", "(?=a)b", r"(a)\1", r"a\b", "", "[z-a]", "\ud800"])
def test_a_pattern_that_cannot_be_kept_is_refused(pattern: str, tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match="regular expression"):
        grammar.regex(pattern, tokenizer)


def test_broken_grammars_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match="unknown name"):
        grammar.lark("start: nowhere", tokenizer)
    with pytest.raises(ConfigError, match="nowhere"):
        grammar.gbnf('root ::= "a" nowhere', tokenizer)
