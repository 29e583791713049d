"""Preference pairs: two answers to one prompt, of which people (or a judge) prefer the first.

Out of files, whose records say by their keys what they are; see `pair_formats`. Nothing here needs torch.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shizuku.text.problems import Problems
from shizuku.tuning.conversations import read_items
from shizuku.tuning.examples import Conversation
from shizuku.tuning.pair_formats import read_pair
from shizuku.tuning.turns import Refused, checked_turns, tools_of

__all__ = ["Pairs", "PreferencePair", "read_pairs", "split_pairs"]

FEW = 10
"""Below so many pairs none is held out."""


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two answers to one prompt, of which the first is preferred."""

    prompt: Sequence[Mapping[str, Any]]
    """The turns before the answers, as chat templates take them."""
    chosen: Sequence[Mapping[str, Any]]
    """The better answer: one turn of the assistant's, or several turns that begin and end with one."""
    rejected: Sequence[Mapping[str, Any]]
    """The worse one."""
    margin: float | None = None
    """By how much the chosen one is better, where the data say so."""
    tools: Sequence[Mapping[str, Any]] = ()
    """Tools that the assistant is told of."""
    id: str = ""
    """Where it comes from."""

    @property
    def chosen_text(self) -> str:
        """The last turn of the better answer."""
        return str(self.chosen[-1]["content"])

    @property
    def rejected_text(self) -> str:
        """The last turn of the worse answer."""
        return str(self.rejected[-1]["content"])

    def conversation(self, *, chosen: bool) -> Conversation:
        """Prompt and one answer; only the answer's turns are learned."""
        before = [
            {**turn, "weight": 0} if turn.get("role") == "assistant" else dict(turn) for turn in self.prompt
        ]
        return Conversation([*before, *(self.chosen if chosen else self.rejected)], list(self.tools), self.id)

    def prompt_digest(self, seed: int = 0) -> str:
        """What the prompt is told by, whatever its spaces: the same for the same words."""
        turns = [[turn.get("role"), " ".join(str(turn.get("content")).split())] for turn in self.prompt]
        return hashlib.blake2b(f"{seed}\0{json.dumps(turns)}".encode(), digest_size=16).hexdigest()


@dataclass(slots=True)
class Pairs:
    """What was read."""

    items: list[PreferencePair] = field(default_factory=list)
    """The pairs in the order of the files."""
    formats: Counter[str] = field(default_factory=Counter)
    """How many records were of each format."""

    def say(self) -> str:
        """One line: how many, and of which formats."""
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.formats.most_common())
        return f"read {len(self.items):,} preference pairs ({kinds})"


def read_pairs(paths: Sequence[str | Path] | str | Path, *, problems: Problems | None = None) -> Pairs:
    """Read all preference pairs of `paths` into memory.

    Records that say nothing about a preference (equal sides, an empty answer, no prompt, roles out of order,
    wrong types, broken lines) are skipped and counted in `problems` with their places. Raises DocumentError
    for a missing or binary file, and where nothing is left.
    """
    return Pairs(
        *read_items(
            paths,
            _pair,
            what="preference pair",
            expected="chosen and rejected beside a prompt (or instruction and input, or question), or as "
            "whole conversations with a common beginning",
            problems=problems,
        )
    )


def split_pairs(
    pairs: Sequence[PreferencePair], share: float, seed: int
) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """Pairs to learn from and held-out ones, told apart by a digest of their prompts.

    The same prompt is never in both, and the order of the pairs does not matter. Nothing is held out of fewer
    than ten, nor where all have one prompt.
    """
    digests = [pair.prompt_digest(seed) for pair in pairs]
    if not share or len(pairs) < FEW:
        return list(pairs), []
    numbers, wanted = Counter(digests), max(1, round(share * len(pairs)))
    held: set[str] = set()
    reached = 0
    for digest in sorted(numbers)[:-1]:
        if reached >= wanted:
            break
        held.add(digest)
        reached += numbers[digest]
    sides: tuple[list[PreferencePair], list[PreferencePair]] = ([], [])
    for pair, digest in zip(pairs, digests, strict=True):
        sides[digest in held].append(pair)
    return sides


def _pair(record: Mapping[str, Any], place: str) -> tuple[str, PreferencePair]:
    kind, turns = read_pair(record)
    start = len(turns.prompt)
    if not any(turn.get("role") == "user" for turn in turns.prompt if isinstance(turn, Mapping)):
        raise Refused("no prompt")
    sides = [checked_turns([*turns.prompt, *side]) for side in (turns.chosen, turns.rejected)]
    # What stands behind the last answer is left out, so a side without an answer ends inside the prompt.
    if any(len(side) <= start or side[start]["role"] != "assistant" for side in sides):
        raise Refused("a side has no answer of its own")
    prompt, (chosen, rejected) = sides[0][:start], (side[start:] for side in sides)
    if _same(chosen, rejected):
        raise Refused("equal sides")
    return kind, PreferencePair(prompt, chosen, rejected, turns.margin, tools_of(record.get("tools")), place)


def _same(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    def plain(turns: Sequence[Mapping[str, Any]]) -> list[Any]:
        return [(turn["role"], str(turn["content"]).strip(), turn.get("tool_calls")) for turn in turns]

    return plain(one) == plain(other)
