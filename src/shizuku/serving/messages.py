"""A request's messages as chat templates take them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shizuku.serving.faults import bad_value
from shizuku.serving.schemas import ChatMessage, Tool
from shizuku.text.window import SYSTEM_ROLES

TOOLS_BEGIN = "You can use these tools:\n"
TOOLS_END = (
    'To use one, answer with nothing but a JSON object {"name": the name of the tool, "arguments": its '
    "arguments as an object}. Otherwise answer in words."
)


def plain_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Contents as one text, tool calls with their arguments as objects, nothing that is None.

    ApiError for a message without content where its role needs one, and for arguments that are not JSON.
    """
    plain = []
    for number, message in enumerate(messages):
        where = f"messages.{number}"
        if message.tool_calls and message.role != "assistant":
            raise bad_value(f"{where}.tool_calls", f"only the assistant calls tools, not {message.role!r}")
        if message.content is None and not message.tool_calls:
            raise bad_value(f"{where}.content", f"message {number} has no content")
        given: dict[str, Any] = {"role": message.role, "content": _text(message.content)}
        for key in ("name", "tool_call_id", "reasoning_content"):
            if getattr(message, key) is not None:
                given[key] = getattr(message, key)
        if message.tool_calls:
            given["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {
                        "name": call.function.name,
                        "arguments": _arguments(
                            call.function.arguments, f"{where}.tool_calls.{n}.function.arguments"
                        ),
                    },
                }
                for n, call in enumerate(message.tool_calls)
            ]
        plain.append(given)
    return plain


def plain_tools(tools: Sequence[Tool] | None) -> list[dict[str, Any]] | None:
    """The tools as chat templates take them; None if there are none."""
    return [tool.model_dump(exclude_none=True) for tool in tools] if tools else None


def told_of_tools(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
) -> list[Mapping[str, Any]]:
    """The conversation for a template that knows nothing of tools: they are described in the system prompt,
    and calls of earlier turns are written as the JSON that is asked for there.
    """
    told: list[Mapping[str, Any]] = []
    for message in messages:
        calls = message.get("tool_calls")
        if calls:
            written = [
                json.dumps({key: call["function"][key] for key in ("name", "arguments")}, ensure_ascii=False)
                for call in calls
            ]
            content = "\n".join([*filter(None, [message["content"]]), *written])
            message = {"role": message["role"], "content": content}
        told.append(message)
    if not tools:
        return told
    described = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    text = f"{TOOLS_BEGIN}{described}\n{TOOLS_END}"
    if told and told[0]["role"] in SYSTEM_ROLES:
        return [{**told[0], "content": f"{told[0]['content']}\n\n{text}"}, *told[1:]]
    return [{"role": "system", "content": text}, *told]


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.text for part in content)


def _arguments(text: str, param: str) -> dict[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise bad_value(param, f"the arguments of a call are JSON: {error}") from error
    if not isinstance(value, dict):
        raise bad_value(param, "the arguments of a call are a JSON object")
    return value
