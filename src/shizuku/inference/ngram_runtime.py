"""An n-gram model as a runtime: its cache is the tokens themselves. Nothing here needs torch."""

from collections.abc import Sequence

import numpy as np

from shizuku.errors import ModelError
from shizuku.inference.runtime import Span
from shizuku.models.ngram import NGramModel

BLOCK_TOKENS = 64
ROWS_AT_ONCE = 256
LONGEST = 1 << 20
"""Tokens of a sequence at most: the model itself has no window, as it looks back a few tokens."""


class NGramRuntime:
    """Log-probabilities of an n-gram model in the place of logits; see `Runtime`."""

    company_matters = False

    def __init__(self, model: NGramModel) -> None:
        """Use a model as it is."""
        self.model = model
        self._slots = np.zeros((0, BLOCK_TOKENS), dtype=np.int64)

    @property
    def context(self) -> int:
        """Longest sequence in tokens."""
        return LONGEST

    @property
    def vocab_size(self) -> int:
        """Number of logits."""
        return self.model.vocab_size

    @property
    def block_tokens(self) -> int:
        """Tokens that one cache block holds."""
        return BLOCK_TOKENS

    @property
    def block_bytes(self) -> int:
        """Bytes that one cache block takes."""
        return BLOCK_TOKENS * self._slots.itemsize

    @property
    def blocks(self) -> int:
        """Number of cache blocks there are."""
        return len(self._slots)

    def reserve(self, blocks: int) -> None:
        """Make the cache at least this many blocks large."""
        if blocks > len(self._slots):
            more = np.zeros((blocks - len(self._slots), BLOCK_TOKENS), dtype=np.int64)
            self._slots = np.concatenate([self._slots, more])

    def forward(self, spans: Sequence[Span]) -> np.ndarray:
        """Log-probabilities of the next tokens, float32 [R, V], in the order of the spans."""
        rows: list[np.ndarray] = []
        for span in spans:
            ids = np.asarray(span.ids, dtype=np.int64)
            places = np.arange(span.start, span.start + len(ids))
            blocks = np.asarray(span.blocks, dtype=np.int64)
            self._slots[blocks[places // BLOCK_TOKENS], places % BLOCK_TOKENS] = ids
            first = max(0, span.start - self.model.order + 1)
            before = np.arange(first, span.start)
            tokens = np.concatenate([self._slots[blocks[before // BLOCK_TOKENS], before % BLOCK_TOKENS], ids])
            if span.wanted == "none":
                continue
            new = len(ids) if span.wanted == "all" else 1
            for begin in range(len(tokens) - new, len(tokens), ROWS_AT_ONCE):
                end = min(begin + ROWS_AT_ONCE, len(tokens))
                rows.append(self.model.logits(tokens[:end], first=begin))
        if not rows:
            return np.zeros((0, self.vocab_size), dtype=np.float32)
        return np.concatenate(rows)

    def hidden(self, spans: Sequence[Span]) -> np.ndarray:
        """An n-gram model has no vectors: ModelError."""
        raise ModelError("an n-gram model has no vectors to embed a text with: take a neural model")

    def copy_block(self, source: int, target: int) -> None:
        """Make block `target` hold what block `source` holds."""
        self._slots[target] = self._slots[source]
