"""Conversations: what a model answers, and which turns fit its window."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shizuku.errors import ModelError
from shizuku.text.tool_calls.calls import ToolCall
from shizuku.text.tool_calls.reader import take_tool_calls as take_tool_calls

SYSTEM_ROLES = ("system", "developer")

Turn = list[Mapping[str, Any]]


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


@dataclass(frozen=True, slots=True)
class Fitted:
    """The part of a conversation that fits."""

    messages: list[Mapping[str, Any]]
    """System messages and the latest turns."""
    dropped_turns: int
    """How many of the oldest turns were left out."""
    turns: int
    """How many turns there were."""


def fit_conversation(
    messages: Sequence[Mapping[str, Any]],
    *,
    count: Callable[[Sequence[Mapping[str, Any]]], int],
    window: int,
    reserve: int,
) -> Fitted:
    """Drop the fewest oldest whole turns so that `count(messages)` tokens leave `reserve` free in `window`.

    System messages at the beginning stay. A turn is a user's message with all that answers it, so an
    answer or a tool's result never stands without its question. Raises ModelError with the numbers if not
    even the last turn fits.
    """
    system, turns = split_turns(messages)
    budget = window - reserve

    def from_turn(first: int) -> list[Mapping[str, Any]]:
        return [*system, *(message for turn in turns[first:] for message in turn)]

    if (whole := count(from_turn(0))) <= budget:
        return Fitted(from_turn(0), 0, len(turns))
    last = max(len(turns) - 1, 0)
    needed = count(from_turn(last)) if last else whole
    if needed > budget:
        raise ModelError(
            f"the last turn takes {needed} tokens with the system prompt, but the window of {window} leaves "
            f"{budget} beside the {reserve} kept for the answer: shorten the message or lower "
            "--max-new-tokens"
        )
    # Bisection: `kept_from` always fits, `too_long` never does.
    too_long, kept_from = 0, last
    while kept_from - too_long > 1:
        middle = (too_long + kept_from) // 2
        if count(from_turn(middle)) <= budget:
            kept_from = middle
        else:
            too_long = middle
    return Fitted(from_turn(kept_from), kept_from, len(turns))


def split_turns(messages: Sequence[Mapping[str, Any]]) -> tuple[Turn, list[Turn]]:
    """The system messages at the beginning, and the turns: each begins with a user's message."""
    start = 0
    while start < len(messages) and messages[start].get("role") in SYSTEM_ROLES:
        start += 1
    turns: list[Turn] = []
    for message in messages[start:]:
        if not turns or (message.get("role") == "user" and turns[-1][-1].get("role") != "user"):
            turns.append([])
        turns[-1].append(message)
    return list(messages[:start]), turns
