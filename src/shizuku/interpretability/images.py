"""Maps and effects as PNG images, drawn by matplotlib (extra `report`).

Legend: `L` layers, `H` heads, `T` tokens.
"""

import re
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from shizuku.errors import MissingExtraError
from shizuku.report.plots import INK, PALETTE

DOTS = 160
JAPANESE = re.compile(
    r"(NotoSans.*(CJK|JP)|ヒラギノ|Hiragino.*W3|YuGoth|Meiryo|IPAex?g|Gothic).*", re.IGNORECASE
)
"""Files of fonts that have what matplotlib's own font lacks, of those that are there the first."""


def maps_image(maps_LHTT: np.ndarray, tokens: Sequence[str], title: Any, path: Path) -> Path:
    """All heads as small pictures; one head large, its tokens named. `title(layer, head)` names a picture."""
    layers, heads, count = maps_LHTT.shape[:3]
    alone = layers == heads == 1
    side = max(3.5, 0.24 * count + 1.6) if alone else 1.0
    with _style():
        figure = _figure(side * heads, side * layers)
        grid = figure.subplots(layers, heads, squeeze=False)
        for layer in range(layers):
            for head in range(heads):
                axes = grid[layer][head]
                axes.imshow(np.cbrt(maps_LHTT[layer, head]), cmap=_shades(PALETTE[0]), vmin=0, vmax=1)
                axes.set_title(title(layer, head), fontsize=9 if alone else 6, pad=3)
                axes.set_xticks(
                    range(count) if alone else [], tokens if alone else [], rotation=60, ha="right"
                )
                axes.set_yticks(range(count) if alone else [], tokens if alone else [])
                axes.spines[:].set_visible(False)
        return _save(figure, path)


def effects_image(values_LN: np.ndarray, parts: Sequence[str], path: Path, *, title: str) -> Path:
    """A figure for every layer (column) and part of it (row), blue above zero and orange below."""
    layers, count = values_LN.shape
    with _style():
        figure = _figure(0.3 * layers + 1.6, 0.3 * count + 1.3)
        axes = figure.subplots()
        largest = max(float(np.abs(values_LN).max()), 1e-9)
        drawn = axes.imshow(values_LN.T, cmap=_shades(PALETTE[0], PALETTE[1]), vmin=-largest, vmax=largest)
        axes.set_title(title, fontsize=9)
        axes.set_xticks(range(layers))
        axes.set_yticks(range(count), parts)
        axes.set_xlabel("layer")
        axes.spines[:].set_visible(False)
        figure.colorbar(drawn, ax=axes, shrink=0.8)
        return _save(figure, path)


def _style() -> Any:
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise MissingExtraError("images need matplotlib: pip install 'shizuku[report]'") from error
    return mpl.rc_context(
        {
            "font.family": ["DejaVu Sans", *_japanese()],
            "font.size": 8, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
        }
    )  # fmt: skip


@cache
def _japanese() -> tuple[str, ...]:
    """The family of a font with Japanese letters, if there is one; matplotlib's list of fonts may be old."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    files = sorted(path for path in findSystemFonts() if JAPANESE.match(Path(path).name))
    files.sort(key=lambda path: "Regular" not in path)
    if not files:
        return ()
    fontManager.addfont(files[0])
    return (next(entry.name for entry in reversed(fontManager.ttflist) if entry.fname == files[0]),)


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _shades(colour: str, below: str | None = None) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("shades", [*([below] if below else []), "white", colour])


def _save(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(path, format="png", dpi=DOTS, facecolor="white")
    return path
