"""Answers with a form: JSON that meets a schema, and calls of tools, whole and as they stream."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import openai
import pytest
from live_server import Live, running
from scripted_model import ScriptedRuntime, scripted

from shizuku.serving.messages import plain_messages, told_of_tools
from shizuku.serving.schemas import ChatMessage
from tiny_language_model import tiny_lm

HELLO = [{"role": "user", "content": "The cat sat on the mat."}]
SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["cat", "boat"]},
        "lives": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["kind", "lives"],
    "additionalProperties": False,
}
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {"name": "feed", "description": "Feed an animal.", "parameters": SCHEMA},
    },
    {
        "type": "function",
        "function": {
            "name": "rest",
            "parameters": {
                "type": "object",
                "properties": {"hours": {"enum": [1, 2]}},
                "required": ["hours"],
            },
        },
    },
]
PARAMETERS = {tool["function"]["name"]: tool["function"]["parameters"] for tool in TOOLS}


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with running({"tiny": tiny_lm(context=1024), "script": scripted()}) as found:
        yield found


@pytest.fixture(scope="module")
def client(live: Live) -> openai.OpenAI:
    return live.client()


def say(live: Live, text: str) -> None:
    runtime = live.models.find("script").lm.runtime
    assert isinstance(runtime, ScriptedRuntime)
    runtime.say(text)


def test_an_answer_meets_its_schema(client: openai.OpenAI) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "animal", "schema": SCHEMA, "strict": True}}
    asked = {"model": "tiny", "messages": HELLO, "temperature": 1.2, "seed": 5, "response_format": form}
    answer = client.chat.completions.create(**asked, n=3)
    texts = [choice.message.content for choice in answer.choices]
    for text in texts:
        jsonschema.validate(json.loads(text), SCHEMA)
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}
    assert len(set(texts)) > 1
    chunks = client.chat.completions.create(**asked, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == texts[0]
    cut = client.chat.completions.create(**asked, max_tokens=3).choices[0]
    assert cut.finish_reason == "length"


def test_any_object_is_json(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=HELLO, response_format={"type": "json_object"}, max_tokens=40, temperature=0
    )
    assert answer.choices[0].message.content.lstrip().startswith("{")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": {"type": "zebra"}},
                }
            },
            "response_format.json_schema.schema",
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": {"not": {"type": "object"}}},
                }
            },
            "response_format.json_schema.schema",
        ),
        ({"response_format": {"type": "json_object"}, "stop": "}"}, "stop"),
        ({"response_format": {"type": "json_object"}, "tools": TOOLS}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "fly"}}}, "tool_choice"),
        ({"tools": [*TOOLS, TOOLS[0]]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
    ],
)
def test_what_can_not_be_kept_is_refused(live: Live, changes: dict[str, Any], param: str) -> None:
    refused = live.post("/v1/chat/completions", {"model": "tiny", "messages": HELLO, **changes})
    assert (refused.status, refused.error["param"]) == (400, param), refused.data


def test_a_call_can_be_demanded_of_any_model(client: openai.OpenAI) -> None:
    asked = {"model": "tiny", "messages": HELLO, "tools": TOOLS, "temperature": 1.1, "max_tokens": 900}
    for seed in range(3):
        answer = client.chat.completions.create(
            **asked, seed=seed, tool_choice="required", parallel_tool_calls=False
        )
        choice = answer.choices[0]
        assert choice.finish_reason == "tool_calls" and not choice.message.content
        (call,) = choice.message.tool_calls
        jsonschema.validate(json.loads(call.function.arguments), PARAMETERS[call.function.name])
    named = client.chat.completions.create(
        **asked, seed=1, tool_choice={"type": "function", "function": {"name": "rest"}}
    )
    (call,) = named.choices[0].message.tool_calls
    assert call.function.name == "rest" and json.loads(call.function.arguments)["hours"] in (1, 2)


CALL_FEED = '<tool_call>\n{"name": "feed", "arguments": {"kind": "cat", "lives": 9}}\n</tool_call>'
CALL_REST = '<tool_call>\n{"name": "rest", "arguments": {"hours": 2}}\n</tool_call>'


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("text", "several", "content", "names", "finish"),
    [
        ("The cat is fed.", True, "The cat is fed.", [], "stop"),
        (f"I feed it. {CALL_FEED}", True, "I feed it.", ["feed"], "tool_calls"),
        (f"{CALL_FEED}\n{CALL_REST}", True, "", ["feed", "rest"], "tool_calls"),
        (f"{CALL_FEED}\n{CALL_REST}", False, "", ["feed"], "tool_calls"),
        ("<tool_call>no call</tool_call> a", True, "<tool_call>no call</tool_call> a", [], "stop"),
    ],
)
def test_calls_are_told_from_text(
    live: Live,
    client: openai.OpenAI,
    stream: bool,
    text: str,
    several: bool,
    content: str,
    names: list[str],
    finish: str,
) -> None:
    say(live, text)
    asked: dict[str, Any] = {"model": "script", "messages": HELLO, "tools": TOOLS, "temperature": 0}
    asked["parallel_tool_calls"] = several
    found: list[tuple[str, Any]] = []
    if stream:
        said, ended = "", None
        for chunk in client.chat.completions.create(**asked, stream=True):
            said += chunk.choices[0].delta.content or ""
            for call in chunk.choices[0].delta.tool_calls or []:
                assert call.index == len(found) and call.id and call.type == "function"
                found.append((call.function.name, json.loads(call.function.arguments)))
            ended = chunk.choices[0].finish_reason or ended
    else:
        choice = client.chat.completions.create(**asked).choices[0]
        said, ended = choice.message.content or "", choice.finish_reason
        for call in choice.message.tool_calls or []:
            found.append((call.function.name, json.loads(call.function.arguments)))
    assert (said, ended) == (content, finish)
    assert [name for name, _ in found] == names
    if names:
        assert found[0][1] == {"kind": "cat", "lives": 9}


def test_without_a_tool_to_call_the_same_text_is_text(live: Live, client: openai.OpenAI) -> None:
    say(live, CALL_FEED)
    asked: dict[str, Any] = {"model": "script", "messages": HELLO, "temperature": 0}
    for more in ({}, {"tools": TOOLS, "tool_choice": "none"}):
        choice = client.chat.completions.create(**asked, **more).choices[0]
        assert (choice.message.content, choice.finish_reason) == (CALL_FEED, "stop")
        assert choice.message.tool_calls is None


def test_a_turn_with_calls_goes_back_as_it_came(live: Live, client: openai.OpenAI) -> None:
    say(live, CALL_FEED)
    asked: dict[str, Any] = {"model": "script", "tools": TOOLS, "temperature": 0}
    message = client.chat.completions.create(**asked, messages=HELLO).choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "It purrs."}
    say(live, "Done.")
    turns = [*HELLO, message.model_dump(exclude_none=True), result]
    assert client.chat.completions.create(**asked, messages=turns).choices[0].message.content == "Done."


def test_a_template_without_tools_is_told_of_them() -> None:
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "Feed "}, {"type": "text", "text": "it."}]},
        {
            "role": "assistant",
            "tool_calls": [{"id": "a", "function": {"name": "feed", "arguments": '{"lives": 9}'}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "It purrs."},
    ]
    messages = plain_messages([ChatMessage.model_validate(turn) for turn in turns])
    assert messages[0]["content"] == "Feed it."
    assert messages[1]["tool_calls"][0]["function"]["arguments"] == {"lives": 9}
    told = told_of_tools(messages, TOOLS)
    assert told[0]["role"] == "system"
    assert '"name": "feed"' in told[0]["content"] and '"name": "rest"' in told[0]["content"]
    assert told[2] == {"role": "assistant", "content": '{"name": "feed", "arguments": {"lives": 9}}'}
    lm = tiny_lm()
    assert "It purrs." in lm.tokenizer.render_chat(told)
    again = told_of_tools([{"role": "system", "content": "Be kind."}, *messages], TOOLS)
    assert again[0]["content"].startswith("Be kind.\n\n") and "feed" in again[0]["content"]
