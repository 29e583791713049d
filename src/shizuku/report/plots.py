"""Line, bar, histogram and scatter plots as inline SVG, in one style, for pages that are light or dark.

Text stays text (so that any script shows, in the page's fonts), ink is `currentColor`, and the colours of
the series are CSS variables with a value of their own, so that a file of its own looks right too.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from shizuku.errors import MissingExtraError

NEEDED = "report.html needs matplotlib: pip install 'shizuku[report]', or --no-report"


def check_plots() -> None:
    """MissingExtraError where plots can't be drawn: better now than after the work that they would show."""
    if find_spec("matplotlib") is None:
        raise MissingExtraError(NEEDED)


PALETTE = ("#0b6785", "#c4541d", "#5a4fb0", "#2f7d3b", "#ab2f66", "#7b661a")
"""The colours on light ground; style.css has those on dark ground under the same numbers."""
INK = "#57626d"
GRID = "#dfe4e8"
SIZE = (4.4, 3.0)
"""Inches; text of 9.5 points is then legible on a phone and not loud on a desk."""
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
POINTS = 1500
"""More points than a line can show; longer series are thinned evenly."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "font.size": 9.5, "text.color": INK, "axes.labelcolor": INK,
    "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.linewidth": 0.8, "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7, "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False,
    "xtick.major.size": 3, "ytick.major.size": 0, "lines.linewidth": 1.7, "lines.solid_capstyle": "round",
    "legend.frameon": False, "legend.fontsize": 9.5, "legend.handlelength": 1.4, "savefig.transparent": True,
    "axes.formatter.use_mathtext": False, "axes.unicode_minus": True,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Series:
    """A named row of points."""

    name: str
    """What the legend calls it; a single series needs none."""
    x: Sequence[float] | np.ndarray
    """Where each point stands."""
    y: Sequence[float] | np.ndarray
    """How high each point is; what is not finite leaves a gap."""


def line(
    series: Sequence[Series],
    *,
    x: str = "",
    y: str = "",
    log_x: bool = False,
    log_y: bool = False,
    marks: bool = False,
    references: Mapping[str, float] | None = None,
) -> str:
    """Lines over x; `references` are named heights, drawn dashed; `marks` sets a dot at each point."""
    drawing = _Drawing(x, y, log_x=log_x, log_y=log_y)
    for number, one in enumerate(series):
        keep = np.unique(np.linspace(0, len(one.x) - 1, min(POINTS, len(one.x))).astype(int))
        xs, ys = np.asarray(one.x, dtype=float)[keep], np.asarray(one.y, dtype=float)[keep]
        drawing.axes.plot(
            xs, ys, color=_colour(number), label=one.name, marker="o" if marks else "", markersize=4
        )
    for number, (name, height) in enumerate((references or {}).items(), start=len(series)):
        drawing.axes.axhline(height, color=_colour(number), linestyle=(0, (5, 3)), linewidth=1.2, label=name)
    return drawing.svg(legend=len(series) + len(references or {}) > 1)


def scatter(
    series: Sequence[Series], *, x: str = "", y: str = "", log_x: bool = False, log_y: bool = False
) -> str:
    """Points, a colour for each series."""
    drawing = _Drawing(x, y, log_x=log_x, log_y=log_y)
    for number, one in enumerate(series):
        drawing.axes.scatter(
            one.x, one.y, s=16, color=_colour(number), alpha=0.75, linewidths=0, label=one.name
        )
    return drawing.svg(legend=len(series) > 1)


def histogram(
    values: Sequence[float] | np.ndarray,
    *,
    x: str = "",
    y: str = "count",
    bins: int = 40,
    log_y: bool = False,
) -> str:
    """How often values of each size occur; values that are not finite are left out."""
    drawing = _Drawing(x, y, log_y=log_y)
    array = np.asarray(values, dtype=float)
    drawing.axes.hist(array[np.isfinite(array)], bins=bins, color=_colour(0), alpha=0.85)
    drawing.axes.grid(visible=False, axis="x")
    return drawing.svg(legend=False)


def bars(
    values: Mapping[str, float], *, x: str = "", highlight: str | None = None, number_format: str = "{:,.3g}"
) -> str:
    """A horizontal bar for each name, from the top down, its value beside it; `highlight` is set off."""
    height = 0.34 * len(values) + (0.75 if x else 0.45)
    drawing = _Drawing(x, "", size=(SIZE[0], max(1.2, height)))
    colours = [_colour(0) if highlight in (None, name) else INK for name in values]
    heights = list(values.values())
    drawn = drawing.axes.barh(list(values), heights, color=colours, height=0.62)
    for bar, colour in zip(drawn, colours, strict=True):
        bar.set_alpha(1 if colour != INK else 0.4)
    drawing.axes.bar_label(drawn, [number_format.format(height) for height in heights], padding=4, color=INK)
    drawing.axes.invert_yaxis()
    drawing.axes.margins(x=0.14)
    drawing.axes.grid(visible=False)
    drawing.axes.spines["left"].set_visible(False)
    return drawing.svg(legend=False)


class _Drawing:
    """A figure with one pair of axes, and the way to SVG."""

    def __init__(
        self, x: str, y: str, *, log_x: bool = False, log_y: bool = False, size: tuple[float, float] = SIZE
    ) -> None:
        try:
            import matplotlib as mpl
            from matplotlib.figure import Figure
        except ImportError as error:
            raise MissingExtraError("plots need matplotlib: pip install 'shizuku[report]'") from error
        self._context = mpl.rc_context
        with self._context(STYLE):
            self.figure = Figure(figsize=size, layout="constrained")
            self.axes: Any = self.figure.subplots()
        self.axes.set_xlabel(x)
        self.axes.set_ylabel(y)
        for axis, is_log, scale in (
            (self.axes.xaxis, log_x, self.axes.set_xscale),
            (self.axes.yaxis, log_y, self.axes.set_yscale),
        ):
            if is_log:
                scale("log")
            if axis is self.axes.xaxis or y:  # without a name, the y axis has names of its own
                axis.set_major_formatter(_tick)
        self._log = log_x, log_y

    def svg(self, *, legend: bool) -> str:
        self._place_ticks()
        file = io.StringIO()
        with self._context({**STYLE, "svg.hashsalt": "shizuku"}), warnings.catch_warnings():
            # The text is set by the browser, in fonts that have the glyphs that this one lacks.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            if legend:
                self.figure.legend(loc="outside upper left", ncols=3)
            self.figure.savefig(file, format="svg", metadata={"Date": None})
        return _for_pages(file.getvalue())

    def _place_ticks(self) -> None:
        """Few along x; at 1, 2 and 5 on log axes where the powers of ten alone would be fewer than three."""
        from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

        limits = self.axes.get_xlim(), self.axes.get_ylim()
        for axis, is_log, (low, high) in zip(
            (self.axes.xaxis, self.axes.yaxis), self._log, limits, strict=True
        ):
            if is_log:
                axis.set_minor_formatter(NullFormatter())
                if low > 0 and high / low < 300:
                    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            elif axis is self.axes.xaxis:
                # More labels than this touch each other where they are as long as 1.25T.
                axis.set_major_locator(MaxNLocator(nbins=6, steps=(1, 2, 2.5, 5, 10)))


def _tick(value: float, _: float = 0) -> str:
    """12k, 3M and 2T rather than 12000, 3e6 and 2e12; powers of ten where those end."""
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-4:
        exponent = math.floor(math.log10(size))
        factor = f"{value / 10**exponent:.3g}"
        return (f"{factor}×" if factor != "1" else "") + "10" + str(exponent).translate(SUPERSCRIPTS)
    for unit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{value / unit:.4g}{suffix}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def _for_pages(svg: str) -> str:
    """Without prolog, size and metadata; with the page's colours, and ids that are its own on any page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'^(<svg[^>]*?) width="[^"]*"', r"\1", svg)
    svg = re.sub(r'^(<svg[^>]*?) height="[^"]*"', r"\1", svg)
    svg = svg.replace(INK, "currentColor").replace(GRID, f"var(--line, {GRID})")
    for number, colour in enumerate(PALETTE, start=1):
        svg = svg.replace(colour, f"var(--series-{number}, {colour})")
    own = "p" + hashlib.blake2b(svg.encode(), digest_size=4).hexdigest()
    svg = re.sub(r'\bid="', f'id="{own}-', svg)
    return re.sub(r'(url\(#|href="#)', rf"\1{own}-", svg).strip()


def _colour(number: int) -> str:
    return PALETTE[number % len(PALETTE)]
