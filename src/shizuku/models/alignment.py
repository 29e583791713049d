"""Alignment models: which word of a sentence came from which word of its translation.

A target word is made by one source word, or by none (NULL): t(target | source) says how. Where from is the
same for all places in IBM's model 1, a(i | j, I, J) in model 2 (Brown et al. 1993), and in the hidden Markov
model a matter of where the word before came from (`alignment_jumps`). Nothing here needs torch.

Legend: `I` source words of a sentence, `J` its target words, `N` word pairs seen together, `P` places.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from shizuku.errors import ModelError
from shizuku.models.alignment_jumps import Jumps, passed

NULL = 0
"""The source word that makes what nothing else makes."""


@dataclass(slots=True, eq=False)
class AlignmentModel:
    """Translation probabilities of word pairs, and where words stand."""

    source_words: tuple[str, ...]
    """The first is NULL's name, which no sentence has."""
    target_words: tuple[str, ...]
    """Every target word that was seen."""
    pairs_N: np.ndarray
    """uint64, sorted: source word times the number of target words, plus the target word."""
    translation_N: np.ndarray
    """float64: t(target | source)."""
    null: bool = True
    """Whether words may come from NULL."""
    places_P: np.ndarray | None = None
    """uint64, sorted, of model 2: which (i, j, I, J) were seen, by `place_keys`; None: model 1."""
    position_P: np.ndarray | None = None
    """float64: a(i | j, I, J)."""
    jumps: Jumps | None = None
    """Of the hidden Markov model, in the place of a."""
    _source: dict[str, int] = field(init=False, repr=False)
    _target: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._source, self._target = (
            {word: number for number, word in enumerate(words)}
            for words in (self.source_words, self.target_words)
        )

    @property
    def kind(self) -> Literal["1", "2", "hmm"]:
        """IBM's model 1 or 2, or the hidden Markov model."""
        if self.jumps is not None:
            return "hmm"
        return "1" if self.places_P is None else "2"

    def translation(
        self, source_I: Int[np.ndarray, "I"], target_J: Int[np.ndarray, "J"]
    ) -> Float[np.ndarray, "J I+1"]:
        """t for every pair; the first column is NULL's. Word ids; unknown ones are -1 and give 0."""
        ids_I = np.concatenate([[NULL], source_I])
        keys_JI = ids_I[None].astype(np.int64) * len(self.target_words) + target_J[:, None]
        known_JI = (ids_I[None] >= 0) & (target_J[:, None] >= 0)
        found_JI = np.where(known_JI, _look_up(self.pairs_N, self.translation_N, np.maximum(keys_JI, 0)), 0.0)
        if not self.null:
            found_JI[:, 0] = 0.0
        return found_JI

    def probabilities(
        self, source_I: Int[np.ndarray, "I"], target_J: Int[np.ndarray, "J"]
    ) -> Float[np.ndarray, "J I+1"]:
        """t times a for every pair, of models 1 and 2; as of `translation`."""
        found_JI, lengths = self.translation(source_I, target_J), (len(source_I), len(target_J))
        if self.places_P is None or self.position_P is None:
            return found_JI / (lengths[0] + self.null)
        i_JI, j_JI = np.meshgrid(np.arange(lengths[0] + 1), np.arange(lengths[1]))
        keys_JI = place_keys(i_JI, j_JI, *lengths)
        # Lengths that were never seen tell nothing about places.
        position_JI = _look_up(self.places_P, self.position_P, keys_JI)
        seen_J1 = position_JI.sum(1, keepdims=True) > 0
        return found_JI * np.where(seen_J1, position_JI, 1.0 / (lengths[0] + self.null))

    def shares(self, source: Sequence[str], target: Sequence[str]) -> np.ndarray:
        """How much of each target word comes from each source word, [J, I + 1], the first of which is NULL;
        all 0 for a word that was never seen with any of them.
        """
        ids = self.ids(source, target)
        if self.jumps is None:
            product_JI = self.probabilities(*ids)
            sums_J1 = product_JI.sum(1, keepdims=True)
            return np.where(sums_J1 > 0, product_JI / np.where(sums_J1 > 0, sums_J1, 1.0), 0.0)
        translation_JI = self.translation(*ids)
        known_J1 = translation_JI.sum(1, keepdims=True) > 0
        filled_JI = np.where(known_J1, translation_JI, 1.0)  # says nothing of where it came from
        return np.where(known_J1, passed(filled_JI[None], self.jumps).share_BJI[0], 0.0)

    def align(self, source: Sequence[str], target: Sequence[str]) -> list[int]:
        """For each target word the likeliest source word's place from 0 on, or -1 where NULL is likelier."""
        if isinstance(source, str) or isinstance(target, str):
            raise ModelError("align takes the words of a sentence, a list: got one string")
        share_JI = self.shares(source, target)
        null_J, words_JI = share_JI[:, 0], share_JI[:, 1:]
        most_J = words_JI.max(1)
        word_J = (most_J > 0) & (most_J >= null_J * (1 - 1e-9))  # as likely as NULL: the word
        return [int(place) for place in np.where(word_J, words_JI.argmax(1), -1)]

    def logprob(self, source: Sequence[str], target: Sequence[str]) -> float:
        """Log-probability of the target words given the source words, in nats; -inf with an unseen pair."""
        ids = self.ids(source, target)
        if self.jumps is None:
            with np.errstate(divide="ignore"):
                return float(np.log(self.probabilities(*ids).sum(1)).sum())
        translation_JI = self.translation(*ids)
        if not (translation_JI.sum(1) > 0).all():
            return -math.inf
        return float(passed(translation_JI[None], self.jumps).logprob_B[0])

    def ids(self, source: Sequence[str], target: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Word ids of both sides, -1 for words never seen; ModelError for an empty side."""
        if not source or not target:
            raise ModelError("an alignment needs at least one word on either side")
        return (
            np.array([self._source.get(word, -1) for word in source]),
            np.array([self._target.get(word, -1) for word in target]),
        )

    def translations(self, word: str, most: int = 10) -> list[tuple[str, float]]:
        """The likeliest target words for a source word, with their probabilities; ModelError if unknown."""
        number = self._source.get(word)
        if number is None:
            raise ModelError(f"the source word {word!r} was never seen")
        size = np.uint64(len(self.target_words))
        low, high = np.searchsorted(self.pairs_N, [np.uint64(number) * size, np.uint64(number + 1) * size])
        order = np.argsort(-self.translation_N[low:high], kind="stable")[:most]
        return [
            (self.target_words[int(self.pairs_N[low + at] % size)], float(self.translation_N[low + at]))
            for at in order
        ]


def place_keys(
    i: np.ndarray, j: np.ndarray, source: np.ndarray | int, target: np.ndarray | int
) -> np.ndarray:
    """One number for each (i, j, I, J), 16 bits each: sentences have fewer words than 65,536."""
    parts = [np.asarray(part, dtype=np.uint64) for part in (source, target, j, i)]
    keys = parts[0]
    for part in parts[1:]:
        keys = (keys << np.uint64(16)) | part
    return keys


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    if not len(keys):
        return np.zeros(wanted.shape)
    wanted = wanted.astype(np.uint64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0.0)
