"""Constrained tool calls: whatever the logits, what ends is a call of one of the tools, with its schema."""

from typing import Any

import jsonschema
import numpy as np
import pytest
from test_grammar import read

from shizuku.errors import ConfigError
from shizuku.inference import grammar
from shizuku.text.special_tokens import SpecialTokens
from shizuku.text.tokenizer import Tokenizer
from shizuku.text.tool_calls.calls import read_tools
from shizuku.text.tool_calls.formats import FORMATS, named_format
from shizuku.text.tool_calls.reader import ToolCallReader

PLACE = {"type": "object", "properties": {"city": {"enum": ["札幌", "Otaru"]}}, "required": ["city"]}
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "$defs": {"place": PLACE},
                "type": "object",
                "properties": {
                    "where": {"$ref": "#/$defs/place"},
                    "unit": {"type": "string", "enum": ["C", "F"]},
                    "days": {"type": "integer", "minimum": 1, "maximum": 9},
                },
                "required": ["where", "days"],
            },
        },
    },
    {"type": "function", "function": {"name": "clock"}},
    {
        "type": "function",
        "function": {
            "name": "say",
            "parameters": {
                "type": "object",
                "properties": {"text": {"type": "string"}},
                "required": ["text"],
            },
        },
    },
]
SCHEMAS = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in TOOLS}
MARKERS = ("[TOOL_CALLS]", "[ARGS]", "<tool_call>", "</tool_call>")


def tokenizer_with(*control: str) -> Tokenizer:
    text = [
        '{"name": "weather", "arguments": {}} <function=say>\n<parameter=text>\n',
        "".join(map(chr, range(32, 127))),
    ]
    special = SpecialTokens(eos="<|eos|>", control=control)
    return Tokenizer.train(text * 3, 310, special=special)


@pytest.mark.parametrize("control", [(), MARKERS], ids=["text", "control tokens"])
@pytest.mark.parametrize("name", FORMATS)
def test_random_logits_give_calls_of_the_tools(name: str, control: tuple[str, ...]) -> None:
    tokenizer = tokenizer_with(*control)
    known = read_tools(TOOLS)
    ended, called = 0, set()
    for several, chosen in ((False, None), (True, None), *((True, tool) for tool in SCHEMAS)):
        made = grammar.tool_calls(TOOLS, tokenizer, format=named_format(name), name=chosen, several=several)
        for seed in range(6):
            ids, finish = read(made.processor(), tokenizer, seed, limit=600, closing="\n</parameter>\n")
            if finish != "stop":
                continue
            ended += 1
            text = tokenizer.decode(ids, skip_control=False)
            reader = ToolCallReader(named_format(name), known)
            assert reader.push(text) + reader.finish() == "", text
            assert reader.problems == [] and (
                len(reader.calls) == 1 or (several and not chosen and reader.calls)
            ), text
            for call in reader.calls:
                called.add(call.name)
                assert chosen in (None, call.name)
                schema = {**SCHEMAS[call.name], "additionalProperties": False}
                jsonschema.Draft202012Validator(schema).validate(dict(call.arguments))
    assert ended >= 20 and called == set(SCHEMAS)


def test_a_named_tool_is_called_once() -> None:
    tokenizer = tokenizer_with()
    made = grammar.tool_calls(TOOLS, tokenizer, name="clock")
    ids, finish = read(made.processor(), tokenizer, 0)
    assert finish == "stop"
    reader = ToolCallReader(named_format("plain"))
    reader.push(tokenizer.decode(ids))
    reader.finish()
    assert [(call.name, call.arguments) for call in reader.calls] == [("clock", {})]


def test_the_format_is_that_of_the_chat_template() -> None:
    tokenizer = tokenizer_with(*MARKERS)
    tokenizer.chat_templates["default"] = "… [TOOL_CALLS] …"
    processor = grammar.tool_calls(TOOLS, tokenizer).processor()
    logits_V = processor([9], np.zeros(tokenizer.vocab_size, dtype=np.float32))
    assert [tokenizer.control[int(i)] for i in np.flatnonzero(logits_V == 0)] == ["[TOOL_CALLS]"]


def test_tools_that_cannot_be_kept_are_refused() -> None:
    tokenizer = tokenizer_with()
    with pytest.raises(ConfigError, match=r"'sun'.*weather"):
        grammar.tool_calls(TOOLS, tokenizer, name="sun")
    odd = {"name": "odd", "parameters": {"properties": {"x": {"uniqueItems": True}}}}
    with pytest.raises(ConfigError, match=r"tool odd, #/properties/x.*uniqueItems"):
        grammar.tool_calls([odd], tokenizer)
    raw = {"name": "raw", "parameters": {"properties": {"x": {"type": "string", "pattern": "a"}}}}
    with pytest.raises(ConfigError, match=r"raw\.x.*'pattern'"):
        grammar.tool_calls([raw], tokenizer, format=named_format("qwen-coder"))
    with pytest.raises(ConfigError, match="tool_choice"):
        grammar.tool_calls([], tokenizer)
