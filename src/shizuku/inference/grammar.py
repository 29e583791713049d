"""Structured output: from a JSON schema, a regular expression or a grammar to a processor of logits.

Whatever cannot be kept is refused before the first token. Nothing here needs torch.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shizuku.errors import ConfigError
from shizuku.inference.compiled_grammar import Grammar, GrammarProcessor, first_line, library, vocabulary_of
from shizuku.inference.schema_words import check_schema
from shizuku.text.tokenizer import Tokenizer
from shizuku.text.tool_calls.calls import Format, literal, read_tools
from shizuku.text.tool_calls.formats import find_format
from shizuku.text.tool_calls.plain import PLAIN

__all__ = [
    "Grammar",
    "GrammarProcessor",
    "constraint",
    "gbnf",
    "json_object",
    "json_rule",
    "json_schema",
    "lark",
    "regex",
    "tool_calls",
]

BLANK = r"( |\n {0,24})"
"""What may stand between the parts of JSON; bounded, so that blanks cannot use up the limit of tokens."""


def json_schema(schema: Mapping[str, Any] | str, tokenizer: Tokenizer) -> Grammar:
    """JSON that fulfils `schema` (JSON Schema 2020-12, as a mapping or its JSON text).

    Properties come in the schema's order. ConfigError names a keyword that cannot be kept, and says what is
    wrong with a broken schema, or one that nothing fulfils.
    """
    return lark(f"start: value\nvalue: {json_rule(schema)}", tokenizer, blank_first=True, what="schema")


def json_object(tokenizer: Tokenizer) -> Grammar:
    """Any JSON object."""
    return json_schema({"type": "object"}, tokenizer)


def json_rule(schema: Mapping[str, Any] | str) -> str:
    """`schema` as a rule's right side in a Lark grammar; raises ConfigError as `json_schema`."""
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"the schema is not JSON: {error}") from error
    try:
        options = {"whitespace_pattern": BLANK, "coerce_one_of": False, "lenient": False}
        text = json.dumps(
            {**check_schema(schema), "x-guidance": options}, ensure_ascii=False, allow_nan=False
        )
    except ConfigError:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"the schema cannot be written as JSON: {error}") from error
    return f"%json {text}"


def regex(pattern: str, tokenizer: Tokenizer) -> Grammar:
    """A text that `pattern` matches from its beginning to its end (Rust's syntax, Unicode).

    ConfigError for a broken pattern, and for look-around, word borders and back references.
    """
    if not isinstance(pattern, str):
        raise ConfigError(f"a regular expression is a string, got {type(pattern).__name__}")
    if pattern == "":
        raise ConfigError("the regular expression is empty, so it allows no text: leave it out")
    _check_characters(pattern, "regular expression")
    source = library().LLMatcher.grammar_from_regex(pattern)
    return vocabulary_of(tokenizer).compile(source, "regular expression")


def lark(text: str, tokenizer: Tokenizer, *, blank_first: bool = False, what: str = "grammar") -> Grammar:
    """A text of the grammar `text`: Lark with `%json {schema}` and `<[id]>` for control tokens.

    With `blank_first` a blank may stand before it where tokenizers begin texts with one. ConfigError, naming
    the line, for a broken grammar.
    """
    _check_characters(text, what)
    vocabulary = vocabulary_of(tokenizer)
    if blank_first and vocabulary.begins_with_a_space:
        text = text.replace("start: ", "start: BLANK_FIRST? ", 1) + '\nBLANK_FIRST: " "\n'
    return vocabulary.compile(library().LLMatcher.grammar_from_lark(text), what)


def gbnf(text: str, tokenizer: Tokenizer) -> Grammar:
    """A text of a grammar written for llama.cpp; ConfigError for a broken one."""
    _check_characters(text, "grammar")
    known = library()
    try:
        source = known.grammar_from("gbnf", text)
    except ValueError as error:
        raise ConfigError(f"the grammar: {first_line(str(error))}") from error
    return vocabulary_of(tokenizer).compile(source, "grammar")


def tool_calls(
    tools: Sequence[Mapping[str, Any]],
    tokenizer: Tokenizer,
    *,
    format: Format | None = None,
    name: str | None = None,
    several: bool = True,
) -> Grammar:
    """Nothing but calls of `tools` (of the one called `name`), one or, if asked for, several in a row.

    They are written in `format`; None: in that of the chat template, else as plain JSON. ConfigError for a
    tool whose schema cannot be kept, and an unknown name.
    """
    known = read_tools(tools)
    chosen = [tool for tool in known if name in (None, tool.name)]
    if not chosen:
        raise ConfigError(f"tool_choice {name!r}: the tools are {[tool.name for tool in known]!r:.200}")
    for tool in chosen:
        check_schema(tool.parameters, f"parameters of the tool {tool.name}, #")
    format = format or find_format(tokenizer.chat_templates.get("tool_use", tokenizer.chat_template)) or PLAIN
    ids = {control: token_id for token_id, control in tokenizer.control.items()}

    def spell(marker: str) -> str:
        return f"<[{ids[marker]}]>" if marker in ids else literal(marker)

    text = format.frame(chosen, several and name is None, spell, json_rule)
    return lark(text, tokenizer, blank_first=True, what="tools' grammar")


def constraint(
    tokenizer: Tokenizer,
    *,
    schema: Mapping[str, Any] | str | None = None,
    regex: str | None = None,
    stop: Sequence[str] = (),
) -> Grammar | None:
    """The grammar of `generate(schema=…, regex=…)`, None if neither is given.

    ConfigError for both at once, and for stop strings beside them, which would cut the text in two.
    """
    if schema is None and regex is None:
        return None
    if schema is not None and regex is not None:
        raise ConfigError("schema and regex are both given: a text follows one of them")
    if stop:
        raise ConfigError(
            f"stop {list(stop)!r:.60} beside a schema or regex: the text would end before it is whole. "
            "Leave --stop out; the grammar ends the text."
        )
    if schema is not None:
        return json_schema(schema, tokenizer)
    return _regex(regex, tokenizer)


_regex: Any = regex


def _check_characters(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"the {what} holds half of a surrogate pair, which is no character") from error
