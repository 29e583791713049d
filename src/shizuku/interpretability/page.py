"""One page with every head: thumbnails of all layers, one head large, tokens to point at. Works offline.

Legend: `L` layers, `H` heads, `T` tokens.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from shizuku.errors import ModelError
from shizuku.interpretability.pairs import looks, ranked
from shizuku.report.grids import grid
from shizuku.report.page import Page
from shizuku.text.spelling import visible

FULL = 65535
"""A weight of 1, in the 16 bits that the page keeps of it."""
MOST_PAGE_BYTES = 48 * 2**20


@dataclass(frozen=True, slots=True)
class Shown:
    """The maps of one text, ready to be drawn."""

    maps_LHTT: np.ndarray
    """As `attention_maps` gives them."""
    tokens: Sequence[str]
    """What each token shows, as `spellings` gives it."""
    layers: Sequence[int]
    """The number of each layer in the model."""
    heads: Sequence[int]
    """The number of each head."""
    source: Sequence[int] = ()
    """The tokens that are looked from at first; empty: the last."""
    target: Sequence[int] = ()
    """The tokens that are looked at; empty: none chosen."""

    @property
    def causal(self) -> bool:
        """Whether no token looks at a later one."""
        return not np.triu(self.maps_LHTT, 1).any()

    def first(self) -> tuple[int, int]:
        """The head to begin with: the one that looks most from source to target, else the one whose rows
        have least on their first token, the token itself and the one before."""
        if self.source and self.target:
            values_LH = looks(self.maps_LHTT, self.source, self.target)
        else:
            values_LH = 1 - np.sum(list(summary(self.maps_LHTT).values()), axis=0)
        best = ranked(values_LH, 1)[0]
        return best.layer, best.head


def summary(maps_LHTT: np.ndarray) -> dict[str, np.ndarray]:
    """Mean share of each head, float32 [L, H], on the text's `first` token, on the token `itself`, and on
    the one `before`, where these are different tokens; 0 for texts that are too short."""
    tokens = maps_LHTT.shape[2]
    later = np.arange(2, tokens)
    if not len(later):
        nothing = np.zeros(maps_LHTT.shape[:2], np.float32)
        return {"first": nothing, "itself": nothing, "before": nothing}
    return {
        "first": maps_LHTT[:, :, later, 0].mean(-1),
        "itself": maps_LHTT[:, :, later, later].mean(-1),
        "before": maps_LHTT[:, :, later, later - 1].mean(-1),
    }


def packed(maps_LHTT: np.ndarray, *, causal: bool) -> str:
    """The weights as base64 of unsigned 16-bit numbers, row by row; of causal maps what each row may see."""
    tokens = maps_LHTT.shape[2]
    rows, columns = np.tril_indices(tokens)
    numbers = np.rint(maps_LHTT * FULL).astype("<u2")
    kept = numbers[:, :, rows, columns] if causal else numbers
    return base64.b64encode(kept.tobytes()).decode("ascii")


def add_maps(page: Page, shown: Shown) -> Page:
    """Puts the view of all heads on a page; ModelError if the page would be too large for a browser."""
    causal, (layer, head) = shown.causal, shown.first()
    layers, heads, tokens = shown.maps_LHTT.shape[:3]
    size = layers * heads * (tokens * (tokens + 1) // 2 if causal else tokens**2) * 2 * 4 // 3
    if size > MOST_PAGE_BYTES:
        raise ModelError(
            f"a page with the maps of {tokens} tokens in {layers} layers of {heads} heads would have "
            f"{size / 2**20:,.0f} MB, more than {MOST_PAGE_BYTES / 2**20:,.0f}: shorten --text, or choose "
            "with --layer and --head"
        )
    data = {
        "tokens": list(shown.tokens),
        "visible": [visible(token) for token in shown.tokens],
        "layers": list(shown.layers),
        "heads": list(shown.heads),
        "causal": causal,
        "start": {
            "layer": layer,
            "head": head,
            "source": shown.source[-1] if shown.source else tokens - 1,
            "target": shown.target[-1] if shown.target else None,
        },
        "weights": packed(shown.maps_LHTT, causal=causal),
    }
    here = files("shizuku.interpretability")
    style, script = ((here / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    content = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    return page.insert(
        f'<style>\n{style}</style>\n<div id="maps"></div>\n'
        "<noscript><p>This view is drawn by a script inside this file.</p></noscript>\n"
        f'<script type="application/json" id="maps-data">{content}</script>\n<script>\n{script}</script>'
    )


def head_picture(shown: Shown, layer: int, head: int) -> str:
    """One head as a table of shades, SVG that also stands alone; `layer` and `head` count what is shown."""
    names = [visible(token) for token in shown.tokens]
    return grid(shown.maps_LHTT[layer, head], names, names, most=1.0)


def effect_picture(values_LN: np.ndarray, rows: Sequence[str], layers: Sequence[int]) -> str:
    """A figure for every layer (column) and part of it (row), as a table of shades that scrolls if narrow."""
    svg = grid(values_LN.T, rows, [str(layer) for layer in layers])
    return f'<div class="wide">{svg}</div>'
