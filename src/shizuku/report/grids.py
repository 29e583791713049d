"""A table of shades as inline SVG: which word goes with which, how much every token looks at every other."""

from collections.abc import Collection, Sequence
from html import escape
from unicodedata import east_asian_width

import numpy as np

CELL = 22
"""Side of a cell, in the units of the drawing; text is 12 high."""
COLOUR = "var(--series-1, #0b6785)"
BELOW = "var(--series-2, #c4541d)"
"""Of values below zero."""


def grid(
    values_RC: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    marks: Collection[tuple[int, int]] = (),
    most: float | None = None,
) -> str:
    """A cell for each row and column, darker the larger its value, in another colour below zero.

    `marks` are framed; `most` is the size that is drawn full (the largest). Columns are named above, aslant;
    rows on the left.
    """
    if values_RC.shape != (len(rows), len(columns)):
        raise ValueError(f"{values_RC.shape} values for {len(rows)} rows and {len(columns)} columns")
    largest = most if most is not None else float(np.abs(values_RC).max(initial=0.0))
    left, top = max(map(_width, rows), default=0) + 10, max(map(_width, columns), default=0) * 0.75 + 14
    width, height = left + CELL * len(columns) + top * 0.8, top + CELL * len(rows) + 2
    parts = [
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" xmlns="http://www.w3.org/2000/svg" '
        'font-size="12" fill="currentColor" font-family="inherit">'
    ]
    for at, name in enumerate(columns):
        x, y = left + CELL * (at + 0.5), top - 6
        parts.append(f'<text transform="translate({x:.1f} {y:.1f}) rotate(-50)">{escape(name)}</text>')
    for row, name in enumerate(rows):
        y = top + CELL * row
        parts.append(f'<text x="{left - 6:.1f}" y="{y + 15:.1f}" text-anchor="end">{escape(name)}</text>')
        for column, other in enumerate(columns):
            value = float(values_RC[row, column])
            shade = min(abs(value) / largest, 1.0) if largest > 0 else 0.0
            colour = COLOUR if value >= 0 else BELOW
            frame = ' stroke="currentColor" stroke-width="1.6"' if (row, column) in marks else ""
            parts.append(
                f'<rect x="{left + CELL * column + 1:.1f}" y="{y + 1:.1f}" width="{CELL - 2}" '
                f'height="{CELL - 2}" rx="2" fill="{colour}" fill-opacity="{0.06 + 0.94 * shade:.3f}"{frame}>'
                f"<title>{escape(name)} · {escape(other)}: {value:.3f}</title></rect>"
            )
    return "".join([*parts, "</svg>"])


def _width(text: str) -> float:
    """About how wide a text is, in the units of the drawing."""
    return sum(12.5 if east_asian_width(letter) in "WF" else 7.2 for letter in text)
