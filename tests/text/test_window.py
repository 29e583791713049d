"""Conversations longer than the window: refused, shortened by whole turns, or summarised, never too long."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from shizuku.errors import ConfigError, ModelError
from shizuku.text.tokenizer import Tokenizer
from shizuku.text.window import (
    SUMMARY_BEGINS,
    Fitted,
    Limits,
    Summarise,
    Summary,
    fit,
    split_turns,
    summariser,
)

Messages = list[Mapping[str, Any]]


def message(role: str, words: int, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": "w " * words, **more}


def count(messages: Sequence[Mapping[str, Any]]) -> int:
    """Tokens as a template might count them: the words, and three around each message."""
    return sum(len(str(m["content"]).split()) + 3 for m in messages)


def summarised(talk: Messages, window: int, summarise: Summarise, **more: Any) -> Fitted:
    """`fit` with a summary, in a window of so many tokens, ten of them for the answer."""
    limits = Limits(context=window)
    return fit(
        talk, count=count, limits=limits, reserve=10, when_full="summarise", summarise=summarise, **more
    )


def conversation(chance: random.Random, longest: int = 12) -> Messages:
    """System messages, users, answers, calls of tools with their results now and then late or in twos."""
    talk: Messages = [message("system", chance.randrange(9))] if chance.random() < 0.6 else []
    number = 0
    for _ in range(chance.randrange(1, longest)):
        talk.append(message("user", chance.randrange(30)))
        if chance.random() < 0.05:
            talk.append(message("system", chance.randrange(4)))
        if chance.random() < 0.4:
            calls = [f"call-{number + n}" for n in range(chance.randrange(1, 3))]
            number += len(calls)
            with_ids = chance.random() < 0.7
            talk.append(message("assistant", 2, tool_calls=[{"id": c} if with_ids else {} for c in calls]))
            if chance.random() < 0.1:
                talk.append(message("user", 2))
            for call in calls:
                talk.append(
                    message("tool", chance.randrange(20), **({"tool_call_id": call} if with_ids else {}))
                )
        if chance.random() < 0.8:
            talk.append(message("assistant", chance.randrange(30)))
    return talk


def check(talk: Messages, fitted: Fitted, budget: int) -> None:
    """The promises that hold for every policy."""
    assert count(fitted.messages) <= budget
    systems = [m for m in talk if m["role"] == "system"]
    assert [m for m in fitted.messages if m["role"] == "system"] == systems, "a system message is lost"
    assert fitted.messages[-1]["role"] == talk[-1]["role"], "the end is lost"
    waiting: set[str] = set()
    called = False
    for kept in fitted.messages:
        waiting |= {call.get("id") for call in kept.get("tool_calls", [])}
        called = called or "tool_calls" in kept
        if kept["role"] == "tool":
            assert called and kept.get("tool_call_id") in waiting, "a result without its call"
    spoken = [m for m in talk if m["role"] != "system"]
    kept_turns = [m for m in fitted.messages if m["role"] != "system"]
    if fitted.summary is None:
        assert kept_turns == spoken[len(spoken) - len(kept_turns) :]
    else:
        first, *rest = kept_turns
        assert rest == spoken[len(spoken) - len(rest) :]
        assert first["content"].startswith(SUMMARY_BEGINS + fitted.summary.text)
        assert first["content"].endswith(spoken[len(spoken) - len(kept_turns)]["content"])


def test_fuzzed_conversations_never_exceed_the_budget() -> None:
    chance = random.Random(0)
    seen = dict.fromkeys(("whole", "refused", "dropped", "summarised", "fell back", "too long"), 0)
    for _ in range(10_000):
        talk = conversation(chance)
        limits = Limits(
            context=chance.randrange(40, 220), input=chance.choice([None, chance.randrange(30, 200)])
        )
        reserve = chance.randrange(1, 20)
        budget = limits.prompt(reserve)
        assert budget <= limits.context - reserve and (limits.input is None or budget <= limits.input)
        when_full = chance.choice(["refuse", "drop", "summarise", "summarise"])
        words = chance.choice([3, 10, 60])
        try:
            fitted = fit(
                talk,
                count=count,
                limits=limits,
                reserve=reserve,
                when_full=when_full,
                summarise=lambda messages, words=words: "s " * words,
            )
        except ModelError:
            seen["refused" if when_full == "refuse" else "too long"] += 1
            system, turns = split_turns(talk)
            assert count(talk) > budget
            if when_full != "refuse":
                told = [m for turn in turns[:-1] for m in turn if m["role"] == "system"]
                assert count([*system, *told, *turns[-1]]) > budget
            continue
        check(talk, fitted, budget)
        if fitted.summary:
            seen["summarised"] += 1
        elif fitted.said:
            seen["fell back"] += 1
            assert "tokens more than there is room for" in fitted.said
        else:
            seen["dropped" if fitted.dropped_turns else "whole"] += 1
    assert min(seen.values()) > 300, seen


def test_refusing_says_by_how_much() -> None:
    talk = [message("user", 40), message("assistant", 20), message("user", 5)]
    with pytest.raises(ModelError, match=r"takes 74 tokens, 24 too many: the window of 60 leaves 50 beside"):
        fit(talk, count=count, limits=Limits(context=60), reserve=10, when_full="refuse")
    with pytest.raises(ModelError, match=r"34 too many: the limit for prompts is 40"):
        fit(talk, count=count, limits=Limits(context=60, input=40), reserve=10, when_full="refuse")


def test_separate_limits_for_prompt_and_answer() -> None:
    limits = Limits(context=100, input=70, output=40)
    assert limits.prompt(10) == 70 and limits.prompt(40) == 60
    assert limits.answer(None, default=256) == 40 and limits.answer(30, default=256) == 30
    with pytest.raises(ConfigError, match=r"--max-new-tokens 41.*at most 40"):
        limits.answer(41, default=256)
    assert Limits(context=100).answer(None, default=256) == 99
    with pytest.raises(ConfigError, match="input of tokens is 0"):
        Limits(context=10, input=0)


def test_a_call_and_its_late_result_are_one_turn() -> None:
    talk = [
        message("user", 1),
        message("assistant", 1, tool_calls=[{"id": "a"}]),
        message("user", 1),
        message("assistant", 1),
        message("user", 1),
        message("tool", 1, tool_call_id="a"),
        message("user", 1),
    ]
    assert [len(turn) for turn in split_turns(talk)[1]] == [6, 1]


def test_the_summary_stands_before_the_words_that_stay() -> None:
    talk: Messages = [{"role": "system", "content": "be kind"}]
    for number in range(6):
        talk += [
            {"role": "user", "content": f"q{number} " * 10},
            {"role": "assistant", "content": f"a{number} " * 10},
        ]
    asked: list[Sequence[Mapping[str, Any]]] = []

    def summarise(messages: Sequence[Mapping[str, Any]]) -> str:
        asked.append(messages)
        return f"{len(messages)} messages"

    def fitted_at(limit: int, earlier: Summary | None = None) -> Fitted:
        return summarised(talk, limit, summarise, earlier=earlier)

    first = fitted_at(160)
    assert first.messages[0] == talk[0] and first.summary is not None
    assert asked == [talk[1 : 1 + 2 * first.dropped_turns]]
    assert first.messages[1]["content"].startswith(f"{SUMMARY_BEGINS}{2 * first.dropped_turns} messages]")
    talk += [{"role": "user", "content": "more"}]
    again = fitted_at(160, first.summary)
    assert len(asked) == 1 and again.summary is first.summary, "a summary that still fits is made anew"
    talk += [{"role": "assistant", "content": "b " * 90}, {"role": "user", "content": "last"}]
    third = fitted_at(160, again.summary)
    assert len(asked) == 2 and third.summary is not None and third.dropped_turns > first.dropped_turns
    assert asked[1][0]["content"].startswith(SUMMARY_BEGINS), "the earlier summary goes into the new one"
    assert list(asked[1][1:]) == talk[1 + 2 * first.dropped_turns : 1 + 2 * third.dropped_turns]
    other = fitted_at(160, Summary(({"role": "user", "content": "someone else"},), "x"))
    assert len(asked) == 3 and other.messages[1]["content"].startswith(SUMMARY_BEGINS)


def test_a_summary_that_is_empty_is_said() -> None:
    talk = [message(role, 20) for role in ("user", "assistant") * 4] + [message("user", 1)]
    fitted = summarised(talk, 85, lambda _: "  ")
    assert "is empty" in fitted.said and fitted.summary is None and fitted.dropped_turns
    with pytest.raises(ConfigError, match="summarise"):
        fit(talk, count=count, limits=Limits(context=80), reserve=5, when_full="summarise")
    with pytest.raises(ConfigError, match="refuse, drop, summarise"):
        fit(talk, count=count, limits=Limits(context=80), reserve=5, when_full="forget")  # type: ignore[arg-type]


def test_a_model_summarises_part_by_part() -> None:
    requests: list[Messages] = []

    def answer(messages: Messages) -> str:
        requests.append(messages)
        return f"summary {len(requests)}"

    talk: Messages = [{"role": "user", "content": f"fact{n} " * 20} for n in range(10)]
    talk.append({"role": "user", "content": [{"type": "text", "text": "alone " * 500}]})
    talk.append({"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "clock"}}]})
    text = summariser(answer, count=count, budget=120)(talk)
    assert text == f"summary {len(requests)}" and len(requests) > 3
    assert all(count(request) <= 120 for request in requests)
    assert all(any(f"fact{n} " in r[0]["content"] for r in requests) for n in range(10))
    assert "clock" in requests[-1][0]["content"]
    for number, request in enumerate(requests[1:], start=1):
        assert f"summary {number}]" in request[0]["content"]


def test_real_templates_never_exceed_the_budget(smollm2_gguf: Path) -> None:
    tokenizer = Tokenizer.load(smollm2_gguf)
    chance = random.Random(0)
    words = ["水", "rain", "雫", "the", "garden,", "12", "and", "🌧", "then\n"]

    def counted(messages: Sequence[Mapping[str, Any]]) -> int:
        return len(tokenizer.encode_chat(messages))

    shortened = 0
    for _ in range(300):
        talk: Messages = [{"role": "system", "content": "Be brief."}] if chance.random() < 0.5 else []
        for number in range(1, 2 * chance.randrange(1, 7)):
            text = " ".join(chance.choices(words, k=chance.randrange(1, 25)))
            talk.append({"role": "user" if number % 2 else "assistant", "content": text})
        limits, when_full = Limits(context=chance.randrange(80, 300)), chance.choice(["drop", "summarise"])
        try:
            fitted = fit(
                talk,
                count=counted,
                limits=limits,
                reserve=16,
                when_full=when_full,
                summarise=lambda _: "雨 and rain",
            )
        except ModelError:
            continue
        assert counted(fitted.messages) <= limits.context - 16
        shortened += fitted.dropped_turns > 0
    assert shortened > 80


def test_a_budget_smaller_than_the_request_ends() -> None:
    asked: list[Any] = []
    summarise = summariser(
        lambda messages: asked.append(messages) or "short", count=lambda m: len(str(m)) // 4, budget=10
    )
    assert summarise([{"role": "user", "content": "a long message of many words"}]) == "short"
    assert len(asked) == 1
