"""Pseudo-perplexity of a whole text for a model that fills in hidden tokens: every token hidden once.

A document is cut into windows that lie end to end; in each every token is hidden in turn, all others of its
window in sight. The figure says how well blanks are filled in. It is no perplexity: the model sees what comes
after a token, so the figures of models that read from left to right are always higher.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from shizuku.errors import ConfigError, DocumentError
from shizuku.inference.pseudo_likelihood import pseudo_score_passages
from shizuku.inference.scoring import Passage
from shizuku.language_model import LanguageModel
from shizuku.progress import bar
from shizuku.text.documents import Document
from shizuku.text.framing import framed

DEFAULT_WINDOW = 128
"""A longer window sees a little more and costs in proportion: each token takes a whole window."""
TOKENS_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class PseudoPerplexity:
    """How well a model fills in each token of a text."""

    documents: int
    """Documents with at least one token."""
    tokens: int
    """Tokens, each hidden once."""
    bytes: int
    """UTF-8 bytes of the text."""
    nats: float
    """Sum of -log p(token | all others of its window)."""
    window: int
    """Tokens that the model sees at once, the marks around them counted."""

    @property
    def pseudo_perplexity(self) -> float:
        """exp of the mean -log p; comparable only between masked models with the same tokenizer."""
        mean = self.nats / self.tokens
        return math.exp(mean) if mean < 700 else math.inf

    @property
    def pseudo_bits_per_byte(self) -> float:
        """The same in bits for each byte of the text, which is no length of any code."""
        return self.nats / math.log(2) / self.bytes


def evaluate_pseudo(
    lm: LanguageModel, documents: Iterable[Document | str], *, window: int | None = None
) -> PseudoPerplexity:
    """Hide every token of every document once, with progress on stderr.

    ConfigError for a window that doesn't fit the model, DocumentError where there is nothing to score.
    """
    window = min(lm.context, DEFAULT_WINDOW) if window is None else window
    if not 3 <= window <= lm.context:
        raise ConfigError(f"--window {window}: expected 3 up to the model's context length {lm.context}")
    texts = [text if isinstance(text, str) else text.text for text in documents]
    nats, tokens, count = 0.0, 0, 0
    total = sum(len(text.encode()) for text in texts)
    with bar("hiding each token", total, "bytes") as progress:
        for text in texts:
            ids = lm.tokenizer.encode(text)
            count += bool(ids)
            share = len(text.encode()) / max(len(ids), 1)
            for some in _windows(lm, ids, window):
                found = pseudo_score_passages(lm.engine, lm.tokenizer, some)
                nats -= sum(float(score.logprobs_N.sum(dtype=np.float64)) for score in found)
                read = sum(len(score.logprobs_N) for score in found)
                tokens += read
                progress.advance(share * read)
                progress.update(note=f"pseudo-perplexity {math.exp(min(nats / tokens, 700)):,.2f}")
    if not tokens:
        raise DocumentError("there is nothing to score in this text: every document is empty (check --text)")
    return PseudoPerplexity(documents=count, tokens=tokens, bytes=total, nats=nats, window=window)


def _windows(lm: LanguageModel, ids: Sequence[int], window: int) -> Iterable[list[Passage]]:
    """The windows of one document, some at a time."""
    size = window - 2
    whole = [
        Passage(framed(lm.tokenizer, ids[start : start + size]), 1) for start in range(0, len(ids), size)
    ]
    at_once = max(1, TOKENS_AT_ONCE // window)
    return (whole[first : first + at_once] for first in range(0, len(whole), at_once))
