"""Tool calls in the formats that models write: found in answers however these are cut, broken ones said."""

import random
import re
from pathlib import Path
from typing import Any

import pytest

from shizuku.errors import ConfigError
from shizuku.text.chat import render
from shizuku.text.tool_calls.calls import Tool, ToolCall, json_end, read_tools
from shizuku.text.tool_calls.formats import FORMATS, find_format, named_format
from shizuku.text.tool_calls.plain import plain_messages
from shizuku.text.tool_calls.reader import ToolCallReader, take_tool_calls

WEATHER = ToolCall("weather", {"place": "札幌", "days": 3})
CLOCK = ToolCall("clock", {})
TOOLS = read_tools(
    [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "The weather.",
                "parameters": {
                    "type": "object",
                    "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
                    "required": ["place"],
                },
            },
        },
        {"type": "function", "function": {"name": "clock", "description": "The time."}},
    ]
)

ANSWERS: list[tuple[str, str, str, tuple[ToolCall, ...]]] = [
    # format, answer, text, calls
    (
        "hermes",
        'Let me see.\n<tool_call>\n{"name": "weather", '
        '"arguments": {"place": "札幌", "days": 3}}\n</tool_call>',
        "Let me see.",
        (WEATHER,),
    ),
    (
        "hermes",
        '<tool_call>[{"name": "clock", "arguments": {}}, {"name": "clock"}]</tool_call>\n'
        '<tool_call>{"name": "weather", "arguments": "{\\"place\\": \\"札幌\\", \\"days\\": 3}"}</tool_call>',
        "",
        (CLOCK, CLOCK, WEATHER),
    ),
    (
        "hermes",
        'one <tool_call>{"name": "clock", "arguments": {}}</tool_call> two  ',
        "one two  ",
        (CLOCK,),
    ),
    ("hermes", '<tool_call>\n{"name": "clock", "arguments": {}}\n', "", (CLOCK,)),
    (
        "hermes",
        '<tool_call>{"name": "say", "arguments": {"text": "</tool_call> }{\\" <tool_call>"}}</tool_call>',
        "",
        (ToolCall("say", {"text": '</tool_call> }{" <tool_call>'}),),
    ),
    ("llama", '{"name": "weather", "parameters": {"place": "札幌", "days": 3}}', "", (WEATHER,)),
    (
        "llama",
        ' {"name": "clock", "parameters": {}}; '
        '{"name": "weather", "parameters": {"place": "札幌", "days": 3}}\n',
        "",
        (CLOCK, WEATHER),
    ),
    ("llama", '<|python_tag|>{"name": "clock", "parameters": {}}', "", (CLOCK,)),
    ("llama", 'Well: <|python_tag|>{"name": "clock", "parameters": {}} so', "Well: so", (CLOCK,)),
    (
        "mistral",
        'Hm. [TOOL_CALLS][{"name": "weather", "arguments": {"place": "札幌", "days": 3}, "id": "abcdef123"}, '
        '{"name": "clock", "arguments": {}}]',
        "Hm.",
        (ToolCall("weather", {"place": "札幌", "days": 3}, "abcdef123"), CLOCK),
    ),
    (
        "mistral-named",
        '[TOOL_CALLS]weather[ARGS]{"place": "札幌", "days": 3}[TOOL_CALLS]clock[CALL_ID]a1b2c3d4e[ARGS]{}',
        "",
        (WEATHER, ToolCall("clock", {}, "a1b2c3d4e")),
    ),
    (
        "functions",
        'So:\n<function=weather>{"place": "札幌", "days": 3}</function><function=clock>{}</function>',
        "So:",
        (WEATHER, CLOCK),
    ),
    ("functions", "<function=clock>{}", "", (CLOCK,)),
    (
        "qwen-coder",
        "I look.\n\n<tool_call>\n<function=weather>\n<parameter=place>\n札幌\n</parameter>\n"
        "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=clock>\n</function>\n</tool_call>",
        "I look.",
        (WEATHER, CLOCK),
    ),
    (
        "qwen-coder",
        "<function=weather><parameter=place>12</parameter><parameter=x>True</parameter><parameter=y>\n"
        'a\n"b"\n\n</parameter></function>',
        "",
        (ToolCall("weather", {"place": "12", "x": True, "y": 'a\n"b"\n'}),),
    ),
    (
        "deepseek",
        'Hm.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{"place": "札幌", "days": 3}'
        "<｜tool▁call▁end｜><｜tool▁call▁begin｜>clock<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "Hm.",
        (WEATHER, CLOCK),
    ),
    (
        "deepseek-r1",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n"
        '{"place": "札幌", "days": 3}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>'
        "clock\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "",
        (WEATHER, CLOCK),
    ),
    ("plain", '{"name": "weather", "arguments": {"place": "札幌", "days": 3}}', "", (WEATHER,)),
]

NO_CALLS = [
    # format, answer, what is said (None: nothing, for it is JSON or text of another kind)
    ("hermes", "  no call at all  ", None),
    ("hermes", "<tool_call>not json</tool_call> after", "begins with {"),
    ("hermes", '<tool_call>{"arguments": {}}</tool_call>', "no name"),
    ("hermes", '<tool_call>{"name": "x", "arguments": "y"}</tool_call>', "no object"),
    ("hermes", '<tool_call>{"name": "x", "arguments": {}}} </tool_call>', "expected </tool_call>"),
    ("hermes", '<tool_call>{"name": "x", "arguments": {"a": ', "cut off"),
    ("hermes", '<tool_call>{"name": "x", "arguments": {}}</tool', "cut off"),
    ("hermes", "<tool_call>", "cut off"),
    ("hermes", "<tool_call>[1]</tool_call>", "no name"),
    ("hermes", "<tool_call>[]</tool_call>", "empty"),
    ("hermes", "a < b, <tool", None),
    ("llama", '{"place": "札幌", "days": 3}', None),
    ("llama", '{"name": "Taro", "parameters": {}}', None),
    ("llama", '{"name": "clock", "parameters": {', "cut off"),
    ("llama", 'It is {"name": "clock", "parameters": {}}', None),
    ("llama", "<|python_tag|>print(1)", "begins with {"),
    ("mistral", "[TOOL_CALLS]clock\n{}", r"expected \[ARGS\]"),
    ("mistral", '[TOOL_CALLS][{"name": "clock"', "cut off"),
    ("mistral-named", "[TOOL_CALLS]clock[ARGS]null", "begin with {"),
    ("functions", "<function=clock>nothing</function>", "begin with {"),
    ("functions", "<function=clock>{'a': 1}</function>", "no JSON object"),
    ("functions", "if x <function= y\n", "cut off"),
    ("qwen-coder", "<tool_call>\n<function=clock>\nwhat\n</function>\n</tool_call>", "expected <parameter="),
    ("qwen-coder", "<tool_call>\n<function=weather>\n<parameter=place>\nOtaru", "cut off"),
    ("qwen-coder", '<tool_call>{"name": "clock"}</tool_call>', "expected <function="),
    (
        "deepseek",
        "<｜tool▁calls▁begin｜>what then",
        "expected <｜tool▁call▁begin",
    ),
    ("deepseek", "<｜tool▁call▁begin｜>clock<｜tool▁sep｜>no", "begin with {"),
    ("deepseek-r1", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>clock\n{}", "expected ```json"),
    ("deepseek-r1", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>clock\n```json\n{", "cut off"),
    ("plain", '[{"a": 1}]', None),
]


def cut(text: str, chance: random.Random) -> list[str]:
    places = sorted(chance.randrange(len(text) + 1) for _ in range(chance.randrange(12)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def read(name: str, pieces: list[str]) -> tuple[str, tuple[ToolCall, ...], list[str]]:
    reader = ToolCallReader(FORMATS[name], TOOLS)
    text = "".join(reader.push(piece) for piece in pieces) + reader.finish()
    assert text == reader.content
    return text, tuple(reader.calls), reader.problems


@pytest.mark.parametrize(("name", "answer", "text", "calls"), ANSWERS)
def test_calls_are_taken_out_of_the_text(
    name: str, answer: str, text: str, calls: tuple[ToolCall, ...]
) -> None:
    assert read(name, [answer]) == (text, calls, [])
    assert take_tool_calls(answer, FORMATS[name], TOOLS) == (text, calls)
    chance = random.Random(0)
    for pieces in [list(answer), *(cut(answer, chance) for _ in range(60))]:
        assert read(name, pieces) == (text, calls, [])


@pytest.mark.parametrize(("name", "answer", "said"), NO_CALLS)
def test_what_is_no_call_stays_text(name: str, answer: str, said: str | None) -> None:
    text, calls, problems = read(name, [answer])
    assert (text, calls) == (answer, ())
    assert (said is None) == (problems == [])
    assert said is None or re.search(said, problems[0])
    chance = random.Random(0)
    for pieces in [list(answer), *(cut(answer, chance) for _ in range(60))]:
        assert read(name, pieces) == (text, calls, problems)


def test_answers_of_all_kinds_in_a_row_are_read_alike_however_cut() -> None:
    chance = random.Random(1)
    parts = [answer for _, answer, _, _ in ANSWERS] + [answer for _, answer, _ in NO_CALLS]
    parts += ["\n", " ", "text", "<", "[", "{", "}", "<function=", "<tool_call>", "[TOOL_CALLS]"]
    found = 0
    for _ in range(400):
        answer = "".join(chance.choice(parts) for _ in range(chance.randrange(1, 5)))
        name = chance.choice(list(FORMATS))
        whole = read(name, [answer])
        found += len(whole[1])
        assert read(name, list(answer)) == whole, (name, answer)
        assert read(name, cut(answer, chance)) == whole, (name, answer)
    assert found > 60


def test_text_is_not_held_back_longer_than_needed() -> None:
    reader = ToolCallReader(FORMATS["hermes"])
    assert reader.push("one two <") == "one two"
    assert reader.push("b> three") == " <b> three"
    assert reader.push('\n<tool_call>{"name": "clock"}') == ""
    assert reader.push("</tool_call>") == "" and reader.calls == [CLOCK]


def test_where_json_ends() -> None:
    assert json_end('{"a": "}\\"", "b": [1]} rest', 0) == 22
    assert json_end('{"a": "}', 0) is None


EXPECTED = {
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": "hermes",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "hermes",
    "Qwen-QwQ-32B": "hermes",
    "Qwen-Qwen2.5-7B-Instruct": "hermes",
    "Qwen-Qwen3-0.6B": "hermes",
    "ibm-granite-granite-4.0": "hermes",
    "ibm-granite-granite-4.1": "hermes",
    "MiMo-VL": "hermes",
    "Bielik-11B-v3.0-Instruct": "hermes",
    "meta-llama-Llama-3.1-8B-Instruct": "llama",
    "meta-llama-Llama-3.2-3B-Instruct": "llama",
    "meta-llama-Llama-3.3-70B-Instruct": "llama",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral",
    "Mistral-Small-3.2-24B-Instruct-2506": "mistral-named",
    "mistralai-Ministral-3-14B-Reasoning-2512": "mistral-named",
    "unsloth-mistral-Devstral-Small-2507": "mistral-named",
    "meetkai-functionary-medium-v3.1": "functions",
    "Qwen3-Coder": "qwen-coder",
    "Qwen3.5-4B": "qwen-coder",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": "qwen-coder",
    "StepFun3.5-Flash": "qwen-coder",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": "deepseek-r1",
    "deepseek-ai-DeepSeek-V3.1": "deepseek",
    "GLM-4.6": None,
    "google-gemma-2-2b-it": None,
    "ByteDance-Seed-OSS": None,
}


@pytest.mark.parametrize("model", EXPECTED)
def test_what_published_templates_write_is_read_back(model: str, llama_cpp_models: Path) -> None:
    template = (llama_cpp_models / "templates" / f"{model}.jinja").read_text()
    found = find_format(template)
    assert (found and found.name) == EXPECTED[model]
    if found is None:
        return
    tools = [
        {"type": "function", "function": {"name": t.name, "description": "it", "parameters": t.parameters}}
        for t in TOOLS
    ]
    calls = [ToolCall("weather", WEATHER.arguments, "abcdef123")]
    asked = [{"role": "user", "content": "Weather?"}]
    answer = {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": dict(c.arguments)}}
            for c in calls
        ],
    }
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    before = render(template, asked, tools, False, special)
    after = render(template, [*asked, answer], tools, False, special)
    assert after.startswith(before)
    _, read_back = take_tool_calls(after[len(before) :], found, TOOLS)
    if not read_back:  # an answer that is nothing but the call, behind the turn's beginning
        body = after[len(before) :]
        _, read_back = take_tool_calls(body[body.index("{") :], found, TOOLS)
    assert [(c.name, c.arguments) for c in read_back] == [(c.name, c.arguments) for c in calls]


def test_tools_of_a_request() -> None:
    assert read_tools([{"name": "a"}])[0] == Tool(
        "a", {"type": "object", "properties": {}, "additionalProperties": False}
    )
    open_schema = {"type": "object", "properties": {"a": {}}, "additionalProperties": True}
    assert read_tools([{"name": "a", "parameters": open_schema}])[0].parameters == open_schema
    bad: list[tuple[Any, str]] = [
        ([{"type": "function"}], r"tools\[0\]"),
        (["clock"], r"tools\[0\]"),
        ([{"name": "a", "parameters": "b"}], "JSON Schema"),
        ([{"name": "a"}, {"name": "a"}], "two tools"),
    ]
    for tools, said in bad:
        with pytest.raises(ConfigError, match=said):
            read_tools(tools)


def test_a_format_by_name() -> None:
    assert named_format("hermes") is FORMATS["hermes"]
    with pytest.raises(ConfigError, match="hermes, llama"):
        named_format("morse")
    assert find_format(None) is None


def test_a_template_without_tools_is_told_of_them_in_words(llama_cpp_models: Path) -> None:
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    talk: list[dict[str, Any]] = [
        {"role": "user", "content": "Weather in 札幌?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "function": {"name": "weather", "arguments": '{"place": "札幌"}'}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "snow"},
        {"role": "user", "content": "And then?"},
    ]
    plain = plain_messages(talk, tools)
    assert [m["role"] for m in plain] == ["user", "assistant", "user"]
    assert plain[0]["content"].startswith('You may use these tools:\n{"name": "weather"')
    assert plain[0]["content"].endswith("Weather in 札幌?")
    assert take_tool_calls(plain[1]["content"], FORMATS["plain"]) == (
        "",
        (ToolCall("weather", {"place": "札幌"}),),
    )
    assert plain[2]["content"] == "Result of weather:\nsnow\n\nAnd then?"
    template = (llama_cpp_models / "templates" / "google-gemma-2-2b-it.jinja").read_text()
    assert "Result of weather:" in render(template, plain, None, True, {"bos_token": "<bos>"})
    assert talk[0]["content"] == "Weather in 札幌?", "the messages given are changed"
    with_system = plain_messages([{"role": "system", "content": "Be brief."}, *talk], tools)
    assert with_system[0]["content"].startswith("Be brief.\n\nYou may use")
    assert with_system[1]["content"] == "Weather in 札幌?"
    parts = plain_messages([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], tools)
    assert [part["type"] for part in parts[0]["content"]] == ["text", "text"]
