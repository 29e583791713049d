"""Tools for a model that was taught no format: it is told of them in words, and calls them in plain JSON,
`{"name": …, "arguments": {…}}`."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from shizuku.text.tool_calls.calls import Format, read_arguments
from shizuku.text.tool_calls.llama import frame_json, take_json

PLAIN = Format(name="plain", begins=(), take=take_json, frame=partial(frame_json, "arguments"), bare="{[")
_SYSTEM = ("system", "developer")


def plain_messages(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The conversation for a chat template that knows nothing of tools.

    The tools are described in the system prompt, or before the user's first words where there is none; calls
    become JSON in the assistant's words, results words of the user. Messages of the user in a row are
    joined, for many templates want turns to alternate.
    """
    names = {
        str(call.get("id")): call.get("function", {}).get("name")
        for message in messages
        for call in message.get("tool_calls") or ()
    }
    plain: list[dict[str, Any]] = []
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role == "tool":
            name = message.get("name") or names.get(str(message.get("tool_call_id"))) or "the tool"
            role, content = "user", _joined(f"Result of {name}:\n", content)
        elif message.get("tool_calls"):
            calls = "; ".join(_call(call) for call in message["tool_calls"])
            content = calls if not content else _joined(content, f"\n{calls}")
        if plain and role == "user" == plain[-1]["role"]:
            plain[-1]["content"] = _joined(_joined(plain[-1]["content"], "\n\n"), content)
        else:
            kept = {key: value for key, value in message.items() if not key.startswith("tool_call")}
            plain.append({**kept, "role": role, "content": content})
    return _told(plain, instructions(tools))


def instructions(tools: Sequence[Mapping[str, Any]]) -> str:
    """What a model is told of tools."""
    lines = [json.dumps(tool.get("function", tool), ensure_ascii=False) for tool in tools]
    return "\n".join(
        [
            "You may use these tools:",
            *lines,
            'To use one, answer with nothing but JSON: {"name": the tool, "arguments": {its arguments}}. '
            "Its result comes with the next message. If none is needed, answer in words.",
        ]
    )


def _told(messages: list[dict[str, Any]], text: str) -> list[Mapping[str, Any]]:
    for message in messages:
        if message["role"] in _SYSTEM:
            return [
                {**m, "content": _joined(m["content"], f"\n\n{text}")} if m is message else m
                for m in messages
            ]
        if message["role"] == "user":
            return [
                {**m, "content": _joined(f"{text}\n\n", m["content"])} if m is message else m
                for m in messages
            ]
    return [{"role": "user", "content": text}, *messages]


def _call(call: Mapping[str, Any]) -> str:
    function = call.get("function", call)
    given = function.get("arguments") or {}
    arguments = read_arguments(given)
    if arguments is None:  # a model's own broken call: as it wrote it
        arguments = given
    return json.dumps({"name": function.get("name"), "arguments": arguments}, ensure_ascii=False)


def _joined(first: Any, second: Any) -> Any:
    """Contents one after another; either may be text or a list of parts."""
    if isinstance(first or "", str) and isinstance(second or "", str):
        return (first or "") + (second or "")
    return [*_parts(first), *_parts(second)]


def _parts(content: Any) -> list[Any]:
    if isinstance(content or "", str):
        return [{"type": "text", "text": content}] if content else []
    return list(content)
