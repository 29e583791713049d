"""What was skipped while reading, counted by reason, with the first places where it happened."""

from collections import Counter, defaultdict

SAMPLES = 3
"""How many places are kept for each reason."""


class Problems:
    """Counts what reading skipped: reason to number, and the first few places of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.places: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, reason: str, place: str) -> None:
        """Count one skipped thing under `reason`; `place` says where it stands."""
        self.counts[reason] += 1
        if len(self.places[reason]) < SAMPLES:
            self.places[reason].append(place)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def report(self) -> str:
        """One line a reason, the most frequent first; empty if nothing was skipped."""
        lines = []
        for reason, number in self.counts.most_common():
            places = ", ".join(self.places[reason])
            more = ", …" if number > len(self.places[reason]) else ""
            lines.append(f"skipped {number:,}: {reason} ({places}{more})")
        return "\n".join(lines)
