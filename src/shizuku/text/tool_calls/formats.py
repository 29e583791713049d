"""Which format a model writes its tool calls in: by name, or by its chat template's text."""

from shizuku.errors import ConfigError
from shizuku.text.tool_calls.calls import Format
from shizuku.text.tool_calls.deepseek import DEEPSEEK, DEEPSEEK_R1
from shizuku.text.tool_calls.functions import FUNCTIONS
from shizuku.text.tool_calls.hermes import HERMES
from shizuku.text.tool_calls.llama import LLAMA
from shizuku.text.tool_calls.mistral import MISTRAL, MISTRAL_NAMED
from shizuku.text.tool_calls.plain import PLAIN
from shizuku.text.tool_calls.qwen_coder import QWEN_CODER

FORMATS = {
    made.name: made
    for made in (HERMES, LLAMA, MISTRAL, MISTRAL_NAMED, FUNCTIONS, QWEN_CODER, DEEPSEEK, DEEPSEEK_R1, PLAIN)
}
"""All formats by name."""

_SIGNS: tuple[tuple[tuple[str, ...], Format | None], ...] = (
    (("<｜tool▁call▁begin｜>", "```json"), DEEPSEEK_R1),
    (("<｜tool▁call▁begin｜>",), DEEPSEEK),
    (("[TOOL_CALLS]", "[ARGS]"), MISTRAL_NAMED),
    (("[TOOL_CALLS]",), MISTRAL),
    (("<tool_call>", "<function=", "<parameter="), QWEN_CODER),
    (("<function=", "<parameter="), None),
    (("<function=",), FUNCTIONS),
    (("<tool_call>", "<arg_key>"), None),
    (("<tool_call>", "</tool_call>"), HERMES),
    (('"name": function name, "parameters"',), LLAMA),
    (("<|python_tag|>",), LLAMA),
)
"""What stands in templates, the most special first; None for formats that are not read here."""


def find_format(template: str | None) -> Format | None:
    """The format that a chat template writes calls in; None if it is none of ours."""
    for signs, found in _SIGNS:
        if template is not None and all(sign in template for sign in signs):
            return found
    return None


def named_format(name: str) -> Format:
    """The format of this name; ConfigError with the names there are."""
    if name not in FORMATS:
        raise ConfigError(f"tool call format {name!r}: known are {', '.join(FORMATS)}")
    return FORMATS[name]
