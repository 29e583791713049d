"""An n-gram model: for each length, the n-grams that are known, their log-probability and their backoff.

All smoothing methods end in this form (Katz 1987; ARPA files have it too): the probability of a token is that
of the longest known n-gram that ends in it, times the backoff weights of the longer contexts that were seen
without it. Nothing here needs torch.

Legend: `T` tokens, `R` rows asked for, `V` vocabulary, `N` n-grams of one length, `M` of several prefixes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from shizuku.errors import ConfigError, ModelError

NOWHERE = -1
"""Index of an n-gram that is not in the table."""


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The n-grams of one length, sorted by the index of what stands before their last token, then by it."""

    keys_N: np.ndarray
    """uint64: index of the n-gram without its last token in the next shorter level, times V, plus that."""
    logprobs_N: np.ndarray
    """float64: log-probability of the last token behind the others, in nats; -inf for what never follows."""
    backoffs_N: np.ndarray | None = None
    """float64: log of the weight of the next shorter context behind this n-gram, in nats; None: all 0, as at
    the longest level.
    """

    def __len__(self) -> int:
        return len(self.keys_N)

    def find(self, prefixes: np.ndarray, tokens: np.ndarray, vocab_size: int) -> np.ndarray:
        """Indices of the n-grams made of these, int64; NOWHERE for those not known, or of unknown prefix."""
        if not len(self):
            return np.full(np.broadcast(prefixes, tokens).shape, NOWHERE, dtype=np.int64)
        known = prefixes >= 0
        wanted = np.where(known, prefixes, 0).astype(np.uint64) * np.uint64(vocab_size)
        wanted = wanted + tokens.astype(np.uint64)
        at = np.searchsorted(self.keys_N, wanted)
        at = np.minimum(at, len(self) - 1)
        return np.where(known & (self.keys_N[at] == wanted), at, NOWHERE)

    def all_children(self, prefixes_T: np.ndarray, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
        """The n-grams that go on from each of these shorter ones: rows of `prefixes_T`, and indices here."""
        known_T = np.flatnonzero(prefixes_T >= 0)
        firsts_T = prefixes_T[known_T].astype(np.uint64) * np.uint64(vocab_size)
        low_T = np.searchsorted(self.keys_N, firsts_T)
        sizes_T = np.searchsorted(self.keys_N, firsts_T + np.uint64(vocab_size)) - low_T
        begins_T = np.cumsum(sizes_T) - sizes_T
        within_M = np.arange(sizes_T.sum()) - np.repeat(begins_T, sizes_T)
        return np.repeat(known_T, sizes_T), np.repeat(low_T, sizes_T) + within_M


class NGramModel:
    """Next-token probabilities from the last `order` - 1 tokens.

    The first level has all V tokens in their order, so that an index in it is a token id.
    """

    def __init__(self, levels: Sequence[Level], *, unpredicted: int | None = None) -> None:
        """Put levels together; `unpredicted` is the token that opens a document and never follows anything.

        ModelError for levels that don't fit each other.
        """
        if not levels:
            raise ModelError("an n-gram model needs at least the level of single tokens")
        self.levels, self.unpredicted = tuple(levels), unpredicted
        self.vocab_size = len(levels[0])
        if not np.array_equal(levels[0].keys_N, np.arange(self.vocab_size, dtype=np.uint64)):
            raise ModelError("the first level of an n-gram model has every token of the vocabulary, in order")
        for shorter, longer in pairwise(self.levels):
            keys = longer.keys_N
            if len(keys) and (keys[1:] <= keys[:-1]).any():
                raise ModelError("the n-grams of a level are not sorted, or some are there twice")
            if len(keys) and int(keys[-1]) // self.vocab_size >= len(shorter):
                raise ModelError("an n-gram goes on from one that is not in the model")

    @property
    def numbers(self) -> int:
        """Probabilities and backoff weights that it is made of."""
        return sum(len(one) * (1 if one.backoffs_N is None else 2) for one in self.levels)

    @property
    def nbytes(self) -> int:
        """Bytes of its tables."""
        tables = [table for one in self.levels for table in (one.keys_N, one.logprobs_N, one.backoffs_N)]
        return sum(table.nbytes for table in tables if table is not None)

    @property
    def order(self) -> int:
        """Tokens of the longest n-grams."""
        return len(self.levels)

    @property
    def bytes(self) -> int:
        """What the tables take in memory."""
        arrays = (array for one in self.levels for array in (one.keys_N, one.logprobs_N, one.backoffs_N))
        return sum(array.nbytes for array in arrays if array is not None)

    def logprobs(self, ids_T: Int[np.ndarray, "T"]) -> Float[np.ndarray, "T"]:
        """Log-probability in nats of each token behind those before it, of one sequence.

        The first is given the probability that it has behind nothing, which is of use only where a document
        has no start token.
        """
        ids_T = self._checked(ids_T)
        contexts = self._contexts(ids_T)
        before = [np.concatenate([[NOWHERE], context[:-1]]) for context in contexts]
        found = self.levels[0].logprobs_N[ids_T].copy()
        for context, shorter, longer in zip(before, self.levels, self.levels[1:], strict=False):
            gram = longer.find(context, ids_T, self.vocab_size)
            backed = found + self._backoff(shorter, context)
            found = np.where(gram >= 0, longer.logprobs_N[gram], backed) if len(longer) else backed
        return found

    def next_logprobs(self, history: Sequence[int] | np.ndarray) -> Float[np.ndarray, "V"]:
        """Log-probabilities in nats of all tokens behind these ones, float64; they sum to one."""
        tail = np.asarray(history, dtype=np.int64)[max(0, len(history) - self.order + 1) :]
        if not len(tail):
            return self.levels[0].logprobs_N.copy()
        return self._rows(self._checked(tail), len(tail) - 1)[0]

    def logits(self, ids_T: Int[np.ndarray, "T"], *, first: int = 0) -> Float[np.ndarray, "R V"]:
        """Log-probabilities of what comes next behind each token from `first` on, float32."""
        ids_T = self._checked(ids_T)
        if first >= len(ids_T):
            return np.zeros((0, self.vocab_size), dtype=np.float32)
        begin = max(0, first - max(self.order - 2, 0))
        return self._rows(ids_T[begin:], first - begin).astype(np.float32)

    def _rows(self, ids_T: np.ndarray, first: int) -> np.ndarray:
        """Log-probabilities behind each token from `first` on, float64 [T - first, V]."""
        contexts = [context[first:] for context in self._contexts(ids_T)]
        found_RV = np.tile(self.levels[0].logprobs_N, (len(ids_T) - first, 1))
        for context_R, shorter, longer in zip(contexts, self.levels, self.levels[1:], strict=False):
            found_RV += self._backoff(shorter, context_R)[:, None]
            rows_M, grams_M = longer.all_children(context_R, self.vocab_size)
            tokens_M = (longer.keys_N[grams_M] % np.uint64(self.vocab_size)).astype(np.int64)
            found_RV[rows_M, tokens_M] = longer.logprobs_N[grams_M]
        return found_RV

    def _contexts(self, ids_T: np.ndarray) -> list[np.ndarray]:
        """For each length but the longest, the index of the n-gram that ends at each token, or NOWHERE."""
        found = [ids_T]
        for level in self.levels[1:-1]:
            before = np.concatenate([[NOWHERE], found[-1][:-1]])
            found.append(level.find(before, ids_T, self.vocab_size))
        return found if self.order > 1 else []

    @staticmethod
    def _backoff(level: Level, indices: np.ndarray) -> np.ndarray:
        if level.backoffs_N is None or not len(level):
            return np.zeros(indices.shape)
        return np.where(indices >= 0, level.backoffs_N[indices], 0.0)

    def _checked(self, ids: np.ndarray | Sequence[int]) -> np.ndarray:
        ids_T = np.asarray(ids, dtype=np.int64)
        if ids_T.ndim != 1:
            raise ConfigError(f"expected the ids of one sequence, found the shape {ids_T.shape}")
        if len(ids_T) and not (ids_T.min() >= 0 and ids_T.max() < self.vocab_size):
            raise ModelError(f"a token id is outside the model's vocabulary of {self.vocab_size}")
        return ids_T
