"""Fitting conversations to a window, and reading tool calls out of answers."""

import random

import pytest

from shizuku.errors import ModelError
from shizuku.text.conversation import (
    Message,
    Usage,
)
from shizuku.text.tool_calls.calls import ToolCall
from shizuku.text.window import fit_conversation, split_turns


def message(role: str, words: int) -> dict[str, str]:
    return {"role": role, "content": "w " * words}


def count(messages: object) -> int:
    """Tokens as a template might count them: the words, and three around each message."""
    return sum(len(m["content"].split()) + 3 for m in messages)  # type: ignore[attr-defined]


def test_what_fits_is_left_alone() -> None:
    talk = [message("system", 5), message("user", 4), message("assistant", 6), message("user", 2)]
    fitted = fit_conversation(talk, count=count, window=100, reserve=20)
    assert (fitted.messages, fitted.dropped_turns, fitted.turns) == (talk, 0, 2)


def test_oldest_whole_turns_go_and_the_system_prompt_stays() -> None:
    talk = [message("system", 5)]
    for words in (10, 11, 12):
        talk += [
            message("user", words),
            message("assistant", 10),
            message("tool", 1),
            message("assistant", 2),
        ]
    fitted = fit_conversation(talk, count=count, window=100, reserve=10)
    assert fitted.dropped_turns == 1
    assert fitted.messages == [talk[0], *talk[5:]]
    assert fitted.turns == 3


def test_a_turn_begins_with_the_user() -> None:
    talk = [message("system", 1), message("assistant", 1), message("user", 1), message("user", 2)]
    system, turns = split_turns([*talk, message("assistant", 3), message("user", 4)])
    assert system == talk[:1]
    assert [[m["role"] for m in turn] for turn in turns] == [
        ["assistant"],
        ["user", "user", "assistant"],
        ["user"],
    ]


def test_a_last_turn_that_does_not_fit_is_an_error_with_numbers() -> None:
    talk = [message("system", 5), message("user", 2), message("assistant", 2), message("user", 60)]
    with pytest.raises(ModelError, match=r"takes 71 tokens.*window of 64 leaves 48 beside the 16.*--max-new"):
        fit_conversation(talk, count=count, window=64, reserve=16)


def test_fuzzed_conversations_never_exceed_the_budget_and_drop_as_little_as_possible() -> None:
    chance = random.Random(0)
    dropped = 0
    for _ in range(10_000):
        talk = [message("system", chance.randrange(9))] if chance.random() < 0.5 else []
        for _ in range(chance.randrange(1, 12)):
            talk.append(message("user", chance.randrange(30)))
            talk += [message("assistant", chance.randrange(30)) for _ in range(chance.randrange(3))]
        window, reserve = chance.randrange(50, 200), chance.randrange(1, 20)
        try:
            fitted = fit_conversation(talk, count=count, window=window, reserve=reserve)
        except ModelError:
            system, turns = split_turns(talk)
            assert count([*system, *turns[-1]]) > window - reserve
            continue
        system, turns = split_turns(talk)
        kept = [m for turn in turns[fitted.dropped_turns :] for m in turn]
        assert fitted.messages == [*system, *kept]
        assert count(fitted.messages) <= window - reserve
        if fitted.dropped_turns:
            dropped += 1
            one_more = [m for turn in turns[fitted.dropped_turns - 1 :] for m in turn]
            assert count([*system, *one_more]) > window - reserve
    assert dropped > 1000


def test_a_message_goes_back_into_the_conversation() -> None:
    answer = Message(
        content="hm", tool_calls=(ToolCall("clock", {"zone": "UTC"}),), usage=Usage(3, 4), finish="stop"
    )
    call = {"type": "function", "function": {"name": "clock", "arguments": {"zone": "UTC"}}}
    assert answer.as_dict() == {"role": "assistant", "content": "hm", "tool_calls": [call]}
