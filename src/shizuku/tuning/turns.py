"""The turns of one conversation, made plain and checked: roles, their order, what they hold."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

SHARED = {
    "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant",
    "model": "assistant", "bot": "assistant", "system": "system", "tool": "tool", "observation": "tool",
    "function_response": "tool", "function_call": "function_call",
}  # fmt: skip
"""Who speaks in ShareGPT's `from`, as chat templates call them."""
SYSTEM = ("system", "developer")
ROLES = (*SYSTEM, "user", "assistant", "tool", "function")


class Refused(Exception):
    """Why a record is skipped; short, as such reasons are counted."""


def shared_turn(turn: Any) -> dict[str, Any]:
    """A turn of ShareGPT (from, value) with role and content; Refused for others."""
    if not isinstance(turn, Mapping):
        raise Refused("a turn is not an object")
    speaker = turn.get("from")
    role = SHARED.get(speaker.lower()) if isinstance(speaker, str) else None
    if role is None:
        raise Refused(f"unknown role {speaker!r:.40}")
    if role != "function_call":
        return {"role": role, "content": turn.get("value")}
    call = _object(turn.get("value"), "a function_call")
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": call}]}


def checked_turns(turns: Sequence[Any]) -> list[dict[str, Any]]:
    """The turns up to the last answer, as chat templates take them; Refused where they can't be learned from.

    In order are: perhaps a system prompt, then the user first, and the assistant after each; tool outputs
    only after a call.
    """
    plain = [_turn(turn) for turn in turns]
    answers = [number for number, turn in enumerate(plain) if turn["role"] == "assistant"]
    if not answers:
        raise Refused("no assistant turn")
    plain = plain[: answers[-1] + 1]
    before: dict[str, Any] | None = None
    for number, turn in enumerate(plain):
        role, previous = turn["role"], before["role"] if before else None
        allowed = {
            "user": previous in (None, "assistant", *SYSTEM),
            "assistant": previous in ("user", "tool", "function"),
            "tool": previous in ("tool", "function") or bool(before and before.get("tool_calls")),
        }
        allowed["function"] = allowed["tool"]
        if not allowed.get(role, number == 0):
            raise Refused(f"roles out of order: {role} after {previous or 'nothing'}")
        empty = not str(turn["content"]).strip() and not turn.get("tool_calls")
        if empty and role in ("assistant", "user"):
            raise Refused("empty answer" if role == "assistant" else "empty question")
        before = turn
    return plain


def tools_of(tools: Any) -> list[dict[str, Any]]:
    """The tools that a record names, perhaps as JSON text; Refused for others."""
    if isinstance(tools, str):
        try:
            tools = json.loads(tools) if tools.strip() else []
        except (ValueError, RecursionError) as error:
            raise Refused("tools are not JSON") from error
    if not tools:
        return []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise Refused("tools are not a list of objects")
    return tools


def _turn(turn: Any) -> dict[str, Any]:
    if not isinstance(turn, Mapping):
        raise Refused("a turn is not an object")
    role = turn.get("role")
    if role not in ROLES:
        raise Refused("a turn has no role" if role is None else f"unknown role {role!r:.40}")
    plain = {key: value for key, value in turn.items() if value is not None}
    calls = plain.get("tool_calls")
    if calls:
        if role != "assistant" or not isinstance(calls, list):
            raise Refused("tool_calls are not a list of the assistant's")
        plain["tool_calls"] = [_call(call) for call in calls]
    plain["content"] = _text(plain.get("content"), role)
    return plain


def _text(content: Any, role: str) -> str:
    if content is None and role in ("assistant", "tool", "function"):
        return ""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        if not all(isinstance(part, str) for part in parts):
            raise Refused("content holds something other than text")
        content = "".join(map(str, parts))
    if not isinstance(content, str):
        raise Refused("content is not text")
    try:
        content.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Refused("half of a surrogate pair") from error
    return content


def _call(call: Any) -> dict[str, Any]:
    """A tool call whose arguments are an object, as templates write them; Refused for others."""
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise Refused("a tool call has no function with a name")
    arguments = function.get("arguments", {})
    return {**call, "function": {**function, "arguments": _object(arguments, "the arguments of a tool call")}}


def _object(value: Any, what: str) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else {}
        except (ValueError, RecursionError) as error:
            raise Refused(f"{what} is not JSON") from error
    if not isinstance(value, Mapping):
        raise Refused(f"{what} is not a JSON object")
    return dict(value)
