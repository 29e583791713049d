"""Names that were perhaps meant."""

from collections.abc import Iterable
from difflib import SequenceMatcher

ALIKE = 0.6
"""From this ratio of equal characters on, a name counts as near."""


def near_names(name: str, known: Iterable[str]) -> str:
    """`; did you mean X or Y?` for the known names that are like `name`, else a full stop."""
    scores = {candidate: _likeness(name.lower(), candidate.lower()) for candidate in known}
    near = sorted((c for c in scores if scores[c] >= ALIKE), key=lambda c: -scores[c])[:3]
    return f"; did you mean {' or '.join(near)}?" if near else "."


def _likeness(name: str, candidate: str) -> float:
    """How alike they are, also by the candidate's beginning and by what stands after its tool's colon."""
    bare = candidate.partition(":")[2] or candidate
    spellings = {candidate, bare, candidate[: len(name) + 1], bare[: len(name) + 1]}
    return max(SequenceMatcher(None, name, spelling).ratio() for spelling in spellings)
