"""What a record of preferences is, by its keys: prompt, better and worse answer as turns.

Read are a prompt (text, or messages) with answers as text or messages; whole conversations with a common
beginning (TRL's implicit prompt, UltraFeedback); Anthropic's transcripts of Human and Assistant; columns such
as instruction and input (Alpaca) or question beside chosen and rejected.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shizuku.tuning.turns import Refused, shared_turn

QUESTIONS = (("instruction", "input"), ("instruction", "context"), ("question", None), ("prompt", None))
"""Columns that hold a question, and more that belongs to it."""
SCORES = (("score_chosen", "score_rejected"), ("chosen_score", "rejected_score"))
"""Columns whose difference says by how much one answer is better."""
_SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant):[ ]?")


@dataclass(frozen=True, slots=True)
class PairTurns:
    """A record's turns as they stand, not checked yet."""

    prompt: list[Any]
    """What comes before the answers."""
    chosen: list[Any]
    """The better answer."""
    rejected: list[Any]
    """The worse one."""
    margin: float | None
    """By how much it is better."""


def read_pair(record: Mapping[str, Any]) -> tuple[str, PairTurns]:
    """The name of the record's format, and its turns; Refused for one that is none."""
    if "chosen" not in record or "rejected" not in record:
        raise Refused(f"no chosen and rejected (keys: {', '.join(map(str, list(record)[:8]))})")
    chosen, rejected = record["chosen"], record["rejected"]
    margin = _margin(record)
    if isinstance(chosen, list) and isinstance(rejected, list):
        kind, turns = _listed(record, *(_turns(side) for side in (chosen, rejected)))
    elif isinstance(chosen, str) and isinstance(rejected, str):
        kind, turns = _texts(record, chosen, rejected)
    else:
        raise Refused("chosen and rejected are not both text, or both messages")
    prompt = turns[0]
    system = record.get("system")
    if isinstance(system, str) and system.strip() and not (prompt and _role(prompt[0]) == "system"):
        prompt = [{"role": "system", "content": system}, *prompt]
    return kind, PairTurns(prompt, turns[1], turns[2], margin)


def _listed(
    record: Mapping[str, Any], chosen: list[Any], rejected: list[Any]
) -> tuple[str, tuple[list[Any], list[Any], list[Any]]]:
    """Both sides as messages: answers alone, or whole conversations."""
    if not chosen or not rejected:
        raise Refused("empty answer")
    prompt = record.get("prompt")
    if _role(chosen[0]) == _role(rejected[0]) == "assistant" and prompt is not None:
        kind = "prompt with chosen and rejected as messages"
        return kind, (_prompt(record), chosen, rejected)
    shared = _common(chosen, rejected)
    if shared in (len(chosen), len(rejected)):
        raise Refused("equal sides" if len(chosen) == len(rejected) else "a side has no answer of its own")
    kind = "chosen and rejected as whole conversations"
    return kind, (chosen[:shared], chosen[shared:], rejected[shared:])


def _texts(
    record: Mapping[str, Any], chosen: str, rejected: str
) -> tuple[str, tuple[list[Any], list[Any], list[Any]]]:
    """Both sides as text: answers beside a question, or transcripts with a common beginning."""
    asked = next((names for names in QUESTIONS if record.get(names[0]) is not None), None)
    if asked is not None:
        better, worse = ([{"role": "assistant", "content": side}] for side in (chosen, rejected))
        if isinstance(record[asked[0]], list):
            return "prompt as messages with chosen and rejected as text", (_prompt(record), better, worse)
        names = [name for name in asked if name and name in record]
        alpaca = " (Alpaca)" if names[0] == "instruction" else ""
        return f"{', '.join(names)}, chosen and rejected{alpaca}", (_asked(record, *asked), better, worse)
    if not _is_transcript(chosen) or not _is_transcript(rejected):
        raise Refused("no prompt")
    sides = _transcript(chosen), _transcript(rejected)
    shared = _common(*sides)
    if shared in map(len, sides):
        raise Refused("equal sides" if sides[0] == sides[1] else "a side has no answer of its own")
    return "transcripts of Human and Assistant", (
        sides[0][:shared], sides[0][shared:], sides[1][shared:],
    )  # fmt: skip


def _asked(record: Mapping[str, Any], question: str, more: str | None) -> list[dict[str, Any]]:
    asked, further = record[question], record.get(more) if more else None
    for name, value in ((question, asked), (more, further)):
        if value is not None and not isinstance(value, str):
            raise Refused(f"column {name} is not text")
    if _is_transcript(asked):
        turns = _transcript(asked)
        return turns[:-1] if turns[-1] == {"role": "assistant", "content": ""} else turns
    text = "\n\n".join(part for part in (asked, further) if part and part.strip())
    if not text:
        raise Refused("no prompt")
    return [{"role": "user", "content": text}]


def _prompt(record: Mapping[str, Any]) -> list[Any]:
    prompt = record["prompt"]
    if isinstance(prompt, list):
        return _turns(prompt)
    return _asked(record, "prompt", None)


def _turns(turns: list[Any]) -> list[Any]:
    shared = bool(turns) and isinstance(turns[0], Mapping) and "from" in turns[0]
    return [shared_turn(turn) for turn in turns] if shared else turns


def _role(turn: Any) -> Any:
    return turn.get("role") if isinstance(turn, Mapping) else None


def _common(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many turns both begin with."""
    for at, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return at
    return min(len(one), len(other))


def _is_transcript(text: str) -> bool:
    return text.lstrip("\n").startswith("Human:")


def _transcript(text: str) -> list[dict[str, Any]]:
    """The turns of Anthropic's "\\n\\nHuman: …\\n\\nAssistant: …"."""
    parts = _SPEAKER.split("\n\n" + text.lstrip("\n"))
    roles = {"Human": "user", "Assistant": "assistant"}
    return [
        {"role": roles[speaker], "content": said.strip()}
        for speaker, said in zip(parts[1::2], parts[2::2], strict=True)
    ]


def _margin(record: Mapping[str, Any]) -> float | None:
    values = [record.get("margin")]
    for better, worse in SCORES:
        scores = record.get(better), record.get(worse)
        if all(_is_number(score) for score in scores):
            values.append(float(scores[0]) - float(scores[1]))  # type: ignore[arg-type]
    return next((float(value) for value in values if _is_number(value)), None)  # type: ignore[arg-type]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
