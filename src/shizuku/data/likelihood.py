"""A filter by likelihood: documents that a reference model finds too surprising, or too easy, are left out.

The score comes from outside, so that this room needs no model: a function from texts to bits per byte, such
as `shizuku.evaluation.perplexity.bits_per_byte_of` of an n-gram model counted on good text. What no such text
has (other languages, broken encodings, random characters, lists of keywords) costs it many bits; what repeats
itself costs it few (Wenzek et al. 2020, CCNet; Moore and Lewis 2010 for the difference of two models).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from shizuku.data.cleaning import Ledger
from shizuku.errors import ConfigError
from shizuku.text.documents import Document

Scorer = Callable[[Sequence[str]], Sequence[float]]
"""Bits per byte of each of some texts."""
AT_ONCE = 64
"""Documents that are scored together."""


def drop_by_likelihood(
    documents: Iterable[Document],
    score: Scorer,
    *,
    most: float = math.inf,
    least: float = 0.0,
    ledger: Ledger | None = None,
) -> Iterator[Document]:
    """Drops documents that cost more than `most` bits per byte, or fewer than `least`; the ledger has each
    one's figure.

    ConfigError if the bounds leave nothing between them, or if the scorer gives no finite number a text.
    """
    if not 0 <= least < most:
        raise ConfigError(f"expected 0 <= least < most bits per byte, found {least} and {most}")
    ledger = Ledger() if ledger is None else ledger
    for some in _pieces(documents):
        scores = list(score([document.text for document in some]))
        if len(scores) != len(some) or not all(map(math.isfinite, scores)):
            raise ConfigError(
                f"the scorer gave {scores} for {len(some)} texts: expected a finite number each"
            )
        for document, bits in zip(some, scores, strict=True):
            if bits > most:
                ledger.drop(document, "likelihood", "too surprising", score=bits)
            elif bits < least:
                ledger.drop(document, "likelihood", "too easy", score=bits)
            else:
                yield document


def bound_of(scores: Sequence[float], share: float) -> float:
    """The bits per byte that a `share` of texts known to be good stay under, as a bound for `most`.

    ConfigError without texts, or for a share outside of 0 to 1.
    """
    if not scores or not 0 < share <= 1:
        raise ConfigError(f"expected texts and 0 < share <= 1, found {len(scores)} texts and {share}")
    return sorted(scores)[math.ceil(share * len(scores)) - 1]


def _pieces(documents: Iterable[Document]) -> Iterator[list[Document]]:
    waiting: list[Document] = []
    for document in documents:
        waiting.append(document)
        if len(waiting) == AT_ONCE:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
