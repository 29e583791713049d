"""Names that were perhaps meant."""

import difflib
from collections.abc import Iterable


def near_names(name: str, known: Iterable[str]) -> str:
    """`; did you mean X or Y?` for the known names nearest to `name`, or an empty string."""
    spellings = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), spellings, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(spellings[n] for n in near)}?" if near else ""
