"""Alignment models learned by EM, a whole bitext at a time: IBM's 1 and 2 (Brown et al. 1993), and from there
the hidden Markov model (Vogel et al. 1996).

Legend: `E` (source word, target word) places of all sentences laid end to end, `N` different word pairs,
`P` different places, `S` sentences.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from shizuku.errors import ConfigError
from shizuku.models.alignment import NULL, AlignmentModel, place_keys
from shizuku.models.alignment_jumps import Jumps
from shizuku.progress import bar
from shizuku.text.bitext import Bitext
from shizuku.training.counting.jumps import NULL_SHARE, count_jumps, learned_jumps, same_shape

NULL_WORD = "NULL"
LONGEST = 200
"""Words of a sentence at most: an alignment of longer ones is mostly a mistake of the corpus."""


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Every way in which a target word of the bitext may have come from a source word."""

    source_words: tuple[str, ...]
    target_words: tuple[str, ...]
    pairs_N: np.ndarray
    """uint64, sorted."""
    pair_E: np.ndarray
    """int32: which of the pairs."""
    starts: np.ndarray
    """int64: where the places of each target word begin; they stand together."""
    sizes: np.ndarray
    """int64: how many they are."""
    place_E: np.ndarray
    """int32: which of the (i, j, I, J)."""
    places_P: np.ndarray
    """uint64, sorted."""
    shapes_S2: np.ndarray
    """int64: source and target words of each sentence."""

    @property
    def null(self) -> bool:
        """Whether NULL is among the source words of each target word."""
        return bool(self.sizes[0] > self.shapes_S2[0, 0])

    @property
    def sources_N(self) -> np.ndarray:
        """The source word of each pair."""
        return (self.pairs_N // np.uint64(len(self.target_words))).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A model and how it came to be."""

    model: AlignmentModel
    """After the last iteration."""
    logprobs: tuple[float, ...]
    """Log-probability of all target words before each iteration and after the last, in nats."""


def learn_alignment(
    bitext: Bitext,
    *,
    iterations: Sequence[int] = (5, 5, 5),
    null: bool = True,
    start: np.random.Generator | None = None,
    on_iteration: Callable[[int, AlignmentModel], None] | None = None,
) -> Learned:
    """Learn t by model 1, from there t and a by model 2, and from there t and jumps by the hidden Markov
    model, for so many iterations of each; the third may be left out.

    Model 1 begins with even chances, or with random ones drawn from `start`: its optimum is the same.
    `on_iteration` sees the model after each iteration. ConfigError for no iterations, and for a sentence of
    more than LONGEST words.
    """
    if len(iterations) not in (2, 3) or min(iterations) < 0 or sum(iterations) < 1:
        raise ConfigError(
            f"--iterations {' '.join(map(str, iterations))}: expected two or three numbers, 0 or more of "
            "each model, and at least one"
        )
    places = _places(bitext, null)
    kinds = [kind for kind, count in zip(KINDS, iterations, strict=False) for _ in range(count)]
    step = _begun(kinds[0], places, _even(places, start))
    logprobs: list[float] = []
    with bar("learning alignments", len(kinds), "iterations") as line:
        for number, kind in enumerate(kinds):
            if kind is not type(step):
                step = _begun(kind, places, step.t_N)
            logprob, step = step.after()
            logprobs.append(logprob)
            line.update(completed=number + 1, note=f"{-logprob / len(places.starts):.3f} nats a word")
            if on_iteration is not None:
                on_iteration(number + 1, step.model(null))
    logprobs.append(step.after()[0])
    return Learned(step.model(null), tuple(logprobs))


def _model(places: _Places, t_N: np.ndarray, null: bool, **more: Any) -> AlignmentModel:
    return AlignmentModel(
        source_words=places.source_words,
        target_words=places.target_words,
        pairs_N=places.pairs_N,
        translation_N=t_N,
        null=null,
        **more,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _One:
    """Model 1 at some iteration."""

    places: _Places
    t_N: np.ndarray

    def after(self) -> "tuple[float, _One]":
        """The log-probability before another iteration, and what it makes of the model."""
        sizes = self.places.sizes
        logprob, share_E = _shares(self.places, self.t_N, np.repeat(1.0 / sizes, sizes))
        return logprob, _One(self.places, _translation(self.places, share_E))

    def model(self, null: bool) -> AlignmentModel:
        """As it is kept."""
        return _model(self.places, self.t_N, null)


@dataclass(frozen=True, slots=True, eq=False)
class _Two:
    """Model 2."""

    places: _Places
    t_N: np.ndarray
    a_P: np.ndarray

    def after(self) -> "tuple[float, _Two]":
        """As of `_One`."""
        places = self.places
        logprob, share_E = _shares(places, self.t_N, self.a_P[places.place_E])
        moved_P = np.bincount(places.place_E, share_E, len(places.places_P))
        group_P = places.places_P >> np.uint64(16)
        firsts = np.flatnonzero(np.concatenate([[True], group_P[1:] != group_P[:-1]]))
        sizes = np.diff(np.concatenate([firsts, [len(group_P)]]))
        a_P = moved_P / np.repeat(np.maximum(np.add.reduceat(moved_P, firsts), 1e-300), sizes)
        return logprob, _Two(places, _translation(places, share_E), a_P)

    def model(self, null: bool) -> AlignmentModel:
        """As it is kept."""
        return _model(self.places, self.t_N, null, places_P=self.places.places_P, position_P=self.a_P)


@dataclass(frozen=True, slots=True, eq=False)
class _Jumping:
    """The hidden Markov model."""

    places: _Places
    t_N: np.ndarray
    jumps: Jumps
    groups: Sequence[np.ndarray]

    def after(self) -> "tuple[float, _Jumping]":
        """As of `_One`."""
        places = self.places
        counted = count_jumps(
            self.t_N[places.pair_E], places.shapes_S2, self.groups, self.jumps, null=places.null
        )
        jumps = learned_jumps(self.jumps, counted, len(places.starts))
        return counted.logprob, _Jumping(places, _translation(places, counted.share_E), jumps, self.groups)

    def model(self, null: bool) -> AlignmentModel:
        """As it is kept."""
        return _model(self.places, self.t_N, null, jumps=self.jumps)


KINDS = (_One, _Two, _Jumping)
"""In the order in which they are learned."""


def _begun(kind: type[_One | _Two | _Jumping], places: _Places, t_N: np.ndarray) -> _One | _Two | _Jumping:
    """A model of another kind, which has learned t alone."""
    if kind is _One:
        return _One(places, t_N)
    if kind is _Two:
        return _Two(places, t_N, _even_places(places))
    jumps = Jumps.even(LONGEST, NULL_SHARE if places.null else 0.0)
    return _Jumping(places, t_N, jumps, tuple(same_shape(places.shapes_S2)))


def _shares(places: _Places, t_N: np.ndarray, chance_E: np.ndarray) -> tuple[float, np.ndarray]:
    """The log-probability of all target words, and how much of each comes from each source word."""
    product_E = t_N[places.pair_E] * chance_E
    sums = np.add.reduceat(product_E, places.starts)
    return float(np.log(sums).sum()), product_E / np.repeat(sums, places.sizes)


def _translation(places: _Places, share_E: np.ndarray) -> np.ndarray:
    """t by what comes from where."""
    counts_N = np.bincount(places.pair_E, share_E, len(places.pairs_N))
    totals = np.bincount(places.sources_N, counts_N, len(places.source_words))
    found: np.ndarray = counts_N / np.maximum(totals, 1e-300)[places.sources_N]
    return found


def _even(places: _Places, start: np.random.Generator | None) -> np.ndarray:
    """t alike for all target words, or drawn, each source word's adding up to one."""
    drawn_N = np.ones(len(places.pairs_N)) if start is None else start.random(len(places.pairs_N)) + 0.01
    if start is None:
        return drawn_N / len(places.target_words)
    totals = np.bincount(places.sources_N, drawn_N, len(places.source_words))
    return drawn_N / totals[places.sources_N]


def _even_places(places: _Places) -> np.ndarray:
    """a alike for all source places."""
    group_P = places.places_P >> np.uint64(16)
    _, inverse, sizes = np.unique(group_P, return_inverse=True, return_counts=True)
    found: np.ndarray = 1.0 / sizes[inverse]
    return found


def _places(bitext: Bitext, null: bool) -> _Places:
    ours, theirs = _Numbers([NULL_WORD]), _Numbers([])
    keys, place_numbers, sizes = [], [], []
    first = 0 if null else 1
    for source, target in zip(bitext.source, bitext.target, strict=True):
        if max(len(source), len(target)) > LONGEST:
            raise ConfigError(
                f"a sentence has {max(len(source), len(target)):,} words, more than {LONGEST}: cut it, or "
                "leave it out (--source, --target)"
            )
        ids_I = np.array([NULL, *map(ours, source)])[first:]
        ids_J = np.array(list(map(theirs, target)))
        keys.append((ids_J[:, None], ids_I[None]))
        i_JI, j_JI = np.meshgrid(np.arange(first, len(source) + 1), np.arange(len(target)))
        place_numbers.append(place_keys(i_JI, j_JI, len(source), len(target)).reshape(-1))
        sizes.append(np.full(len(target), len(ids_I)))
    size = len(theirs.known)
    pair_keys = np.concatenate(
        [
            (ids_I.astype(np.uint64) * np.uint64(size) + ids_J.astype(np.uint64)).reshape(-1)
            for ids_J, ids_I in keys
        ]
    )
    pairs_N, pair_E = np.unique(pair_keys, return_inverse=True)
    places_P, place_E = np.unique(np.concatenate(place_numbers), return_inverse=True)
    whole = np.concatenate(sizes)
    return _Places(
        source_words=tuple(ours.known),
        target_words=tuple(theirs.known),
        pairs_N=pairs_N,
        pair_E=pair_E.astype(np.int32),
        starts=np.concatenate([[0], np.cumsum(whole)[:-1]]).astype(np.int64),
        sizes=whole.astype(np.int64),
        place_E=place_E.astype(np.int32),
        places_P=places_P,
        shapes_S2=np.array([*map(len, bitext.source), *map(len, bitext.target)]).reshape(2, -1).T,
    )


class _Numbers:
    """Numbers words in the order in which they come."""

    def __init__(self, known: Sequence[str]) -> None:
        self._next = count(len(known))
        # A word of the text that is called as NULL is, is another.
        self.known: dict[str, int] = {f"\0{word}": number for number, word in enumerate(known)}

    def __call__(self, word: str) -> int:
        if word not in self.known:
            self.known[word] = next(self._next)
        return self.known[word]
