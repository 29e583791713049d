"""What a conversation is made of, and what a model answers in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shizuku.errors import ModelError
from shizuku.text.tool_calls.calls import ToolCall


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer."""

    prompt_tokens: int
    """Tokens of the prompt, control tokens included."""
    completion_tokens: int
    """Tokens made, the stop token included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """The model's answer in a conversation."""

    content: str
    """The text, without the tool calls."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls that the model asks for, in its order."""
    usage: Usage
    """Tokens read and made."""
    finish: str
    """Why it ended: "stop" (the model or a stop string) or "length" (the limit)."""
    dropped_turns: int = 0
    """Oldest turns left out because the conversation was longer than the window."""
    role: str = field(default="assistant", init=False)
    """Always "assistant"."""

    def as_dict(self) -> dict[str, Any]:
        """The message as chat templates and the next call take it."""
        message: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            message["tool_calls"] = [
                {
                    **({"id": call.id} if call.id else {}),
                    "type": "function",
                    "function": {"name": call.name, "arguments": dict(call.arguments)},
                }
                for call in self.tool_calls
            ]
        return message


def check_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    """ModelError, with an example, for what is no list of messages."""
    expected = 'expected a list such as [{"role": "user", "content": "Hello"}]'
    if isinstance(messages, str | Mapping):
        raise ModelError(f"a conversation is a list of messages, got {type(messages).__name__}: {expected}")
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise ModelError(f"message {number} has no role: {expected}")
