"""Which part of a conversation a model reads when it is longer than the window: limits and policies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from shizuku.errors import ConfigError, ModelError

SYSTEM_ROLES = ("system", "developer")
SUMMARY_SHARE = 4
"""One in so many tokens of the budget is kept free for a summary, and so many again for turns to come."""
SUMMARY_BEGINS = "[What was said before, in short: "
SUMMARY_ENDS = "]\n\n"
REQUEST = (
    "Summarise the conversation below in a few sentences, in its language. Keep names, numbers, dates, "
    "decisions and open questions.\n\n"
)

Turn = list[Mapping[str, Any]]
Count = Callable[[Sequence[Mapping[str, Any]]], int]
"""Tokens of messages as the model will read them: the chat template's own tokens included."""
Summarise = Callable[[Sequence[Mapping[str, Any]]], str]
"""Messages in, what they say in short out."""
WhenFull = Literal["refuse", "drop", "summarise"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How many tokens a request may take."""

    context: int
    """Most tokens of prompt and answer together: the model's window."""
    input: int | None = None
    """Most tokens of a prompt; None: what the window leaves."""
    output: int | None = None
    """Most tokens of an answer; None: what the window leaves."""

    def __post_init__(self) -> None:
        for name in ("context", "input", "output"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"the limit {name} of tokens is {value}: expected at least 1")

    def answer(self, asked: int | None, *, default: int) -> int:
        """Tokens kept free for the answer; ConfigError if more are asked for than answers may have."""
        most = min(self.context - 1, self.output or self.context)
        if asked is None:
            return max(min(default, most), 0)
        if asked > most:
            raise ConfigError(f"--max-new-tokens {asked}: an answer may have at most {most} tokens here")
        return asked

    def prompt(self, reserve: int) -> int:
        """Tokens that a prompt may have beside `reserve` of the answer."""
        room = self.context - reserve
        return room if self.input is None else min(self.input, room)


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands in for the oldest messages."""

    messages: tuple[Mapping[str, Any], ...]
    """The messages it stands for, without system messages."""
    text: str
    """What they say in short."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The part of a conversation that fits."""

    messages: list[Mapping[str, Any]]
    """System messages and the latest turns."""
    dropped_turns: int
    """How many of the oldest turns are not there as they were."""
    turns: int
    """How many turns there were."""
    summary: Summary | None = None
    """What stands in for them; give it to the next call of the same conversation."""
    said: str = ""
    """What did not go as asked for: a summary that did not fit."""


def fit_conversation(
    messages: Sequence[Mapping[str, Any]],
    *,
    count: Count,
    window: int,
    reserve: int,
) -> Fitted:
    """`fit` with the policy "drop" and no limits but the window of `window` tokens."""
    return fit(messages, count=count, limits=Limits(context=window), reserve=reserve)


def fit(
    messages: Sequence[Mapping[str, Any]],
    *,
    count: Count,
    limits: Limits,
    reserve: int,
    when_full: WhenFull = "drop",
    summarise: Summarise | None = None,
    earlier: Summary | None = None,
) -> Fitted:
    """The messages if they fit the limits beside `reserve` tokens of the answer, else what `when_full` says.

    "refuse" raises ModelError with the numbers. "drop" leaves out the fewest oldest whole turns. "summarise"
    gives them to `summarise` and puts the result before the first turn that stays; `earlier`, a summary of
    the same conversation, is used again while it fits, else it goes into the new one. A summary that is
    empty or does not fit is `said`, and turns are dropped. System messages stay, and a tool's result never
    stays without its call. ModelError if not even the last turn fits.
    """
    if when_full not in get_args(WhenFull):
        raise ConfigError(f"when_full {when_full!r}: expected one of {', '.join(get_args(WhenFull))}")
    if when_full == "summarise" and summarise is None:
        raise ConfigError('when_full "summarise" needs a function summarise(messages) -> str')
    talk = _Talk(messages, count, limits, reserve)
    if (whole := count(list(messages))) <= talk.budget:
        return Fitted(list(messages), 0, len(talk.turns))
    if when_full == "refuse":
        raise ModelError(
            f"the conversation takes {whole} tokens, {whole - talk.budget} too many: {talk.room()}. Begin a "
            "new one, or let old turns go."
        )
    talk.check_last_turn(whole)
    if summarise is None or when_full == "drop" or len(talk.turns) < 2:
        return talk.dropped()
    return _summarised(talk, summarise, earlier)


def _summarised(talk: "_Talk", summarise: Summarise, earlier: Summary | None) -> Fitted:
    known = talk.turns_of(earlier)
    if earlier is not None and known:
        messages = talk.with_summary(known, earlier.text)
        if talk.count(messages) <= talk.budget:
            return Fitted(messages, known, len(talk.turns), earlier)
    # Room for the summary, and for some turns to come: the next summary should not be due at once.
    room = max(talk.budget - 2 * (talk.budget // SUMMARY_SHARE), 0)
    first = max(talk.first_that_fits(room), known)
    before = talk.spoken(0, first)
    asked: list[Mapping[str, Any]] = list(before)
    if earlier is not None and known:
        asked = [{"role": "user", "content": _mark(earlier.text)}, *talk.spoken(known, first)]
    text = summarise(asked).strip()
    messages = talk.with_summary(first, text)
    tokens = talk.count(messages)
    if text and tokens <= talk.budget:
        return Fitted(messages, first, len(talk.turns), Summary(tuple(before), text))
    dropped = talk.dropped()
    wrong = "is empty" if not text else f"takes {tokens - talk.budget} tokens more than there is room for"
    return Fitted(
        dropped.messages,
        dropped.dropped_turns,
        dropped.turns,
        said=f"the summary {wrong}: the oldest turns were left out instead",
    )


class _Talk:
    """A conversation in turns, with what it may take."""

    def __init__(
        self, messages: Sequence[Mapping[str, Any]], count: Count, limits: Limits, reserve: int
    ) -> None:
        self.system, self.turns = split_turns(messages)
        self.count, self.limits, self.reserve = count, limits, reserve
        self.budget = limits.prompt(reserve)

    def from_turn(self, first: int) -> list[Mapping[str, Any]]:
        """System messages, those of left out turns too, and the turns from `first` on."""
        told = [m for turn in self.turns[:first] for m in turn if m.get("role") in SYSTEM_ROLES]
        return [*self.system, *told, *(message for turn in self.turns[first:] for message in turn)]

    def spoken(self, begin: int, end: int) -> list[Mapping[str, Any]]:
        """The messages of some turns, without system messages."""
        return [m for turn in self.turns[begin:end] for m in turn if m.get("role") not in SYSTEM_ROLES]

    def with_summary(self, first: int, text: str) -> list[Mapping[str, Any]]:
        """`from_turn`, with the summary before the words of the user that begin the turn `first`.

        There it has no more authority than they have, and no template refuses it.
        """
        messages = self.from_turn(first)
        place = len(messages) - sum(map(len, self.turns[first:]))
        content = messages[place].get("content") or ""
        joined: Any = _mark(text) + content if isinstance(content, str) else None
        if joined is None:
            joined = [{"type": "text", "text": _mark(text)}, *content]
        messages[place] = {**messages[place], "content": joined}
        return messages

    def turns_of(self, summary: Summary | None) -> int:
        """How many whole turns `summary` stands for; 0 if it belongs to another conversation."""
        if summary is None:
            return 0
        for number in range(1, len(self.turns)):
            if len(said := self.spoken(0, number)) >= len(summary.messages):
                return number if tuple(said) == summary.messages else 0
        return 0

    def first_that_fits(self, budget: int) -> int:
        """The first of the fewest turns to leave out for `budget`; the last turn always stays."""
        too_long, kept_from = 0, len(self.turns) - 1
        while kept_from - too_long > 1:
            middle = (too_long + kept_from) // 2
            if self.count(self.from_turn(middle)) <= budget:
                kept_from = middle
            else:
                too_long = middle
        return kept_from

    def dropped(self) -> Fitted:
        """The conversation without its oldest turns."""
        first = self.first_that_fits(self.budget)
        return Fitted(self.from_turn(first), first, len(self.turns))

    def check_last_turn(self, whole: int) -> None:
        """ModelError if not even the last turn fits."""
        last = max(len(self.turns) - 1, 0)
        needed = self.count(self.from_turn(last)) if last else whole
        if needed > self.budget:
            raise ModelError(
                f"the last turn takes {needed} tokens with the system prompt, but {self.room()}: shorten the "
                "message or lower --max-new-tokens"
            )

    def room(self) -> str:
        """What there is room for, and why."""
        if self.limits.input is not None and self.limits.input == self.budget:
            return f"the limit for prompts is {self.budget}"
        return (
            f"the window of {self.limits.context} leaves {self.budget} beside the {self.reserve} kept for "
            "the answer"
        )


def split_turns(messages: Sequence[Mapping[str, Any]]) -> tuple[Turn, list[Turn]]:
    """The system messages at the beginning, and the turns.

    Each begins with a user's message, and goes on to the last result of the tools that are called in it.
    """
    start = 0
    while start < len(messages) and messages[start].get("role") in SYSTEM_ROLES:
        start += 1
    inside = _inside_calls(messages)
    turns: list[Turn] = []
    for place in range(start, len(messages)):
        message = messages[place]
        begins = message.get("role") == "user" and place not in inside
        if not turns or (begins and turns[-1][-1].get("role") != "user"):
            turns.append([])
        turns[-1].append(message)
    return list(messages[:start]), turns


def _inside_calls(messages: Sequence[Mapping[str, Any]]) -> set[int]:
    """Places between a call of a tool and its result."""
    inside: set[int] = set()
    calls: dict[str, int] = {}
    latest: int | None = None
    for place, message in enumerate(messages):
        if message.get("tool_calls"):
            latest = place
            calls.update({str(call.get("id")): place for call in message["tool_calls"] if call.get("id")})
        if message.get("role") == "tool":
            called = calls.get(str(message.get("tool_call_id")), latest)
            inside.update(range(called + 1, place) if called is not None else ())
    return inside


def summariser(answer: Callable[[list[Mapping[str, Any]]], str], *, count: Count, budget: int) -> Summarise:
    """A `summarise` that asks a model: `answer(messages)` is its answer to a conversation.

    What takes more than `budget` tokens is given to it part by part, each with the summary of those before;
    a single message longer than that is cut in the middle.
    """

    def request(lines: Sequence[str], summary: str) -> list[Mapping[str, Any]]:
        before = _mark(summary) if summary else ""
        return [{"role": "user", "content": REQUEST + before + "\n".join(lines)}]

    def summarise(messages: Sequence[Mapping[str, Any]]) -> str:
        summary, lines = "", [_line(message) for message in messages]
        while lines:
            taken = len(lines)
            while taken > 1 and count(request(lines[:taken], summary)) > budget:
                taken = (taken + 1) // 2
            part = lines[:taken]
            while count(request(part, summary)) > budget and len(part[0]) > 1:
                third = len(part[0]) // 3
                shorter = part[0][:third] + " … " + part[0][-third:]
                part = [shorter if third and len(shorter) < len(part[0]) else ""]
            summary = answer(request(part, summary)).strip()
            lines = lines[taken:]
        return summary

    return summarise


def _mark(summary: str) -> str:
    return f"{SUMMARY_BEGINS}{summary}{SUMMARY_ENDS}"


def _line(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    calls = [str(call.get("function", call)) for call in message.get("tool_calls") or ()]
    return f"{message.get('role')}: {' '.join([content, *calls]).strip()}"
