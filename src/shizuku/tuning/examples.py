"""What every kind of tuning reads: conversations, and their ids with what is learned.

Nothing here needs torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns as chat templates take them: dicts with role and content, perhaps tool calls."""

    messages: Sequence[Mapping[str, Any]]
    """The turns in their order."""
    tools: Sequence[Mapping[str, Any]] = ()
    """Tools that the assistant is told of."""
    id: str = ""
    """Where it comes from."""


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation as the model reads it."""

    ids: list[int]
    """Token ids of the whole."""
    learned: list[bool] = field(default_factory=list)
    """For each id whether the loss counts where it is the target; from roles, never from pad ids."""
    second: int | None = None
    """At which id the second text of a pair begins; None of a single text."""
