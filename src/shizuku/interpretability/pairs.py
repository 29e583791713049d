"""Which heads look from one token to another, and how that differs between two texts.

Legend: `L` layers, `H` heads, `T` tokens.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shizuku.errors import ModelError

LATER_PART = re.compile("[^ ][₂-₉]")
"""A character's second token and further ones, as `spellings` shows them."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A head and a figure of it."""

    layer: int
    head: int
    value: float


def looks(maps_LHTT: np.ndarray, source: Sequence[int] | int, target: Sequence[int] | int) -> np.ndarray:
    """float32 [L, H]: how much of a token's attention goes to another; of words of several tokens the sum
    over those of the target, averaged over those of the source."""
    rows, columns = np.atleast_1d(source), np.atleast_1d(target)
    return maps_LHTT[:, :, rows][:, :, :, columns].sum(3).mean(2)


def ranked(values_LH: np.ndarray, count: int | None = None, *, size: bool = False) -> list[Ranked]:
    """Heads from the largest value down (with `size` regardless of its sign); ties by layer, then head."""
    keys = -np.abs(values_LH) if size else -values_LH
    order = np.argsort(keys, axis=None, kind="stable")[:count]
    places = [divmod(int(at), values_LH.shape[1]) for at in order]
    return [Ranked(layer, head, float(values_LH[layer, head])) for layer, head in places]


def find_word(spellings: Sequence[str], word: str, *, name: str = "from") -> list[int]:
    """The places of the tokens that together write a word, its last occurrence; spaces around don't count.

    The tokens are as `spellings` gives them; a character of several tokens is found by itself.
    ModelError, with the tokens there are, if no run of whole tokens writes it.
    """
    wanted = word.strip() or word
    for end in range(len(spellings), 0, -1):
        for start in range(end - 1, -1, -1):
            written = "".join(spellings[start:end])
            whole = LATER_PART.sub("", written).replace("₁", "")
            if written.strip() == wanted or written == word or whole.strip() == wanted:
                return list(range(start, end))
            if len(whole.strip()) > len(wanted):
                break
    seen = " ".join(repr(one) for one in spellings[:40])
    raise ModelError(f"--{name} {word!r}: no run of tokens writes it; the tokens are {seen}")
