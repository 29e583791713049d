"""Chat templates: Jinja read from the checkpoint, run in a sandbox, with the names that templates in the
field expect."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from shizuku.errors import TokenizerError

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The template of tokenizers trained here: ChatML, one turn after another."""

MARKS = ("generation_begins", "generation_ends")
"""Variables that a caller gives to find what the template's `{% generation %}` blocks hold."""
_REASONING = ("reasoning_content", "thinking", "reasoning")

Clock = Callable[[], datetime]


def render(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
    add_generation_prompt: bool,
    variables: Mapping[str, Any],
    *,
    clock: Clock = datetime.now,
) -> str:
    """The conversation as `template` writes it; `clock` is what its `strftime_now` reads.

    Keys whose value is None are left out of messages, as `transformers` does. Raises TokenizerError with the
    template's own message where it refuses, and for a template that is not valid or leaves the sandbox.
    """
    if not messages:
        raise TokenizerError("the conversation is empty. Give at least one message.")
    given = [_message(message) for message in messages]
    try:
        return _compile(template).render(
            {
                **_plain(variables),
                "messages": given,
                "tools": _plain(tools) if tools else None,
                "documents": _plain(variables.get("documents")),
                "add_generation_prompt": add_generation_prompt,
                "strftime_now": lambda form: clock().strftime(form),
            }
        )
    except jinja2.exceptions.SecurityError as error:
        raise TokenizerError(f"the chat template tried to leave its sandbox: {error}") from error
    except jinja2.TemplateError as error:
        raise TokenizerError(f"the chat template refused the conversation: {error}") from error
    except (TypeError, KeyError, ValueError, AttributeError, ArithmeticError) as error:
        raise TokenizerError(
            f"the chat template failed on these messages: {type(error).__name__}: {error}"
        ) from error


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as templates expect it: no key with None, its reasoning under each name in use."""
    if not isinstance(message, Mapping):
        raise TokenizerError(
            f"a message must be a mapping with role and content, not {type(message).__name__}"
        )
    given: dict[str, Any] = {key: _plain(value) for key, value in message.items() if value is not None}
    reasoning = next((given[name] for name in _REASONING if name in given), None)
    if reasoning is None:
        return given
    return {"thinking": reasoning, **given, "reasoning_content": reasoning}


def _plain(value: Any) -> Any:
    """A copy in plain JSON types: other objects have methods that the sandbox does not know to be harmful."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise TokenizerError(
        f"a conversation holds text, numbers, lists and mappings; found a {type(value).__name__}."
    )


def parse(template: str) -> nodes.Template:
    """The template's syntax tree; raises TokenizerError if it is not valid Jinja."""
    try:
        return _environment().parse(template)
    except jinja2.TemplateSyntaxError as error:
        raise TokenizerError(
            f"the chat template is not valid, line {error.lineno}: {error.message}"
        ) from error


@lru_cache(maxsize=32)
def _compile(template: str) -> jinja2.Template:
    try:
        return _environment().from_string(template)
    except jinja2.TemplateSyntaxError as error:
        raise TokenizerError(
            f"the chat template is not valid, line {error.lineno}: {error.message}"
        ) from error


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes HTML, which models were not trained on."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


class _Generation(Extension):
    """`{% generation %}` marks what the assistant wrote, for training; it prints its content.

    Before and behind it stand the variables MARKS, which print nothing unless they are given.
    """

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        marks = (nodes.Output([nodes.Name(name, "load")]).set_lineno(line) for name in MARKS)
        return [next(marks), nodes.Scope(body).set_lineno(line), next(marks)]
