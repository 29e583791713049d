"""A conversation with tools in the loop: the model calls, the call is run, the model goes on.

Small on purpose: it moves to the room `tools/` once there is one.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shizuku.errors import ConfigError, ShizukuError
from shizuku.text.conversation import Message
from shizuku.text.tool_calls.calls import ToolCall
from shizuku.text.tool_calls.hermes import HERMES
from shizuku.text.tool_calls.reader import ToolCallReader

LIMIT = 8
"""Answers of the model at most, unless the caller says otherwise."""


class Responder(Protocol):
    """What answers: a LanguageModel."""

    def respond(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        **settings: Any,
    ) -> Message:
        """The answer to a conversation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """A Python function that a model may call."""

    name: str
    """How the model calls it."""
    description: str
    """What it does, for the model."""
    parameters: Mapping[str, Any]
    """JSON Schema of its arguments, an object's."""
    run: Callable[..., str]
    """The function; a ShizukuError that it raises is told to the model."""

    def schema(self) -> dict[str, Any]:
        """The tool as chat templates and OpenAI's API take it."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What came of a conversation with tools."""

    content: str
    """The words of the model's last answer."""
    finish: str
    """Why it ended: "stop", "length" (tokens), or "limit" (it went on calling)."""
    messages: list[dict[str, Any]]
    """The turns that were added, calls and results with them."""

    @property
    def words(self) -> str:
        """All that the model said, in all its turns, without the calls."""
        said = [turn["content"] for turn in self.messages if turn["role"] == "assistant"]
        return " ".join(text for text in said if text)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls, in their order: name and arguments."""
        return [call["function"] for turn in self.messages for call in turn.get("tool_calls", ())]


def answer_with_tools(
    lm: Responder,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Tool],
    limit: int = LIMIT,
    **settings: Any,
) -> ToolAnswer:
    """Let the model answer, running the tools that it calls, until it calls none or answered `limit` times.

    What is wrong with a call (no such tool, other arguments, not JSON, an error of the tool) becomes the
    tool's result, so that the model can mend it. Other exceptions of a tool are raised. `settings` are those
    of `LanguageModel.generate`.
    """
    if limit < 1:
        raise ConfigError(f"limit {limit}: expected at least 1")
    schemas = [tool.schema() for tool in tools]
    known = {tool.name: tool for tool in tools}
    added: list[dict[str, Any]] = []
    for _ in range(limit):
        message = lm.respond([*messages, *added], schemas, **settings)
        added.append(message.as_dict())
        results = [
            {"name": call.name, "content": observed(known, call)}
            | ({"tool_call_id": call.id} if call.id else {})
            for call in message.tool_calls
        ]
        results += [{"content": f"error: {problem}"} for problem in _problems(message)]
        if not results:
            return ToolAnswer(message.content, message.finish, added)
        added += [{"role": "tool", **result} for result in results]
    return ToolAnswer(message.content, "limit", added)


def observed(tools: Mapping[str, Tool], call: ToolCall) -> str:
    """The result of a call, or what is wrong with it."""
    tool = tools.get(call.name)
    if tool is None:
        return f"error: there is no tool {call.name!r:.40}, only {', '.join(tools)}"
    properties = tool.parameters.get("properties", {})
    for name, given in call.arguments.items():
        if properties.get(name, {}).get("type") == "string" and not isinstance(given, str):
            return f"error: {name} must be a string"
    try:
        inspect.signature(tool.run).bind(**call.arguments)
    except TypeError as error:
        return f"error: {error}"
    try:
        return tool.run(**call.arguments)
    except ShizukuError as error:
        return f"error: {error}"


def _problems(message: Message) -> list[str]:
    """What in an answer begins like a call and is none; nothing where it is only cut off by the limit."""
    if message.finish == "length":
        return []
    reader = ToolCallReader(HERMES)
    reader.push(message.content)
    reader.finish()
    return reader.problems
