"""Rows for a model that is asked for hidden tokens, and whether two passages follow one another.

Shapes: B rows, T tokens of context, P pairs.
A document is cut into chunks, at the ends of sentences where there are any, and each chunk into two passages.
In half of the pairs another passage takes the second one's place. Pairs are shuffled and laid into rows, each
as a segment of its own, until the next one doesn't fit. In every row 15 % of the tokens are chosen, control
tokens never; of the chosen ones 80 % become the mask, 10 % another token, and 10 % stay (Devlin et al. 2018).
All of it is a pure function of (seed, epoch), the hidden tokens of (seed, epoch, row).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from shizuku.data.resuming import check_same_order
from shizuku.data.shards import ShardSet
from shizuku.errors import ConfigError, DocumentError
from shizuku.text.framing import Marks, marks_of
from shizuku.text.tokenizer import Tokenizer

Negatives = Literal["random", "same-document"]
"""Where the second passage of a pair that doesn't follow is from: any other document, or elsewhere in the
same one, whose subject is no hint (in its only chunk: the two passages the other way round)."""

CHOSEN, MASKED, REPLACED = 0.15, 0.8, 0.1
"""Share of the tokens that are asked for, and of those: hidden behind the mask, and replaced by another."""
FOLLOWS, STRANGER, ALONE = 0, 1, -1
"""A pair's label: the second passage follows, it doesn't, or there is no second."""
CANDIDATES = 16
"""Passages of which the one nearest in length takes another's place, so that length gives nothing away."""
SENTENCE_ENDS = (".", "!", "?", "。", "！", "？")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What has to be known of a vocabulary to hide its tokens."""

    marks: Marks
    control_V: np.ndarray
    """bool [V]: control tokens, which are neither asked for nor put in another's place."""
    ends_V: np.ndarray
    """bool [V]: tokens that end a sentence."""
    words: np.ndarray = field(repr=False)
    """int64: the ids of all that are no control tokens."""

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Vocabulary:
        """That of a tokenizer; TokenizerError where it lacks a mark."""
        control_V = np.zeros(tokenizer.vocab_size, dtype=bool)
        control_V[sorted(tokenizer.control)] = True
        ends_V = np.zeros(tokenizer.vocab_size, dtype=bool)
        for end in SENTENCE_ENDS:
            for token_id in tokenizer.encode(end):
                ends_V[token_id] = token_id != tokenizer.unknown_id
        return cls(marks_of(tokenizer), control_V, ends_V, np.flatnonzero(~control_V))


@dataclass(frozen=True, slots=True)
class MaskedBatch:
    """One batch of rows, as numpy arrays."""

    ids_BT: np.ndarray
    """int64: the inputs, with hidden tokens."""
    targets_BT: np.ndarray
    """int64: what stands there."""
    mask_BT: np.ndarray
    """bool: True where it is asked for."""
    types_BT: np.ndarray
    """int64: 1 in the second passage of a pair and behind it, else 0."""
    segments_BT: np.ndarray
    """int64: number of the pair inside the row, -1 = padding."""
    positions_BT: np.ndarray
    """int64: position inside the pair."""
    pair_rows_P: np.ndarray
    """int64: the row of each pair."""
    pair_places_P: np.ndarray
    """int64: where in the row it begins."""
    strangers_P: np.ndarray
    """int64: 0 where the second passage follows the first, 1 where it doesn't."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """One epoch: every pair in order, and which of them share a row."""

    spans_N4: np.ndarray
    """int64: begin and end of the first passage, begin and end of the second, counted over all tokens."""
    labels_N: np.ndarray
    """int64: FOLLOWS, STRANGER or ALONE."""
    firsts_R: np.ndarray
    """int64 [rows + 1]: the first pair of each row."""

    @property
    def rows(self) -> int:
        return len(self.firsts_R) - 1


class MaskedRows:
    """Endless batches from a shard set; see the module. Pairs are left out where `pairs` is False: a row then
    holds chunks.
    """

    def __init__(
        self,
        shards: ShardSet,
        tokenizer: Tokenizer,
        *,
        context: int,
        batch_size: int,
        seed: int,
        pairs: bool = True,
        negatives: Negatives = "random",
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """`share` is this process's rank and their number; ConfigError for sizes that can't be."""
        if negatives not in get_args(Negatives):
            raise ConfigError(f"negatives {negatives!r}: expected one of {', '.join(get_args(Negatives))}")
        if context < 8:
            raise ConfigError(f"--model.context {context}: a pair and its marks need at least 8 tokens")
        if batch_size < 1 or batch_size % share[1]:
            raise ConfigError(f"--batch-size {batch_size}: expected a multiple of {share[1]} processes")
        self.shards, self.vocabulary = shards, Vocabulary.of(tokenizer)
        self.context, self.batch_size, self.seed = context, batch_size, seed
        self.pairs, self.negatives, self.share = pairs, negatives, share
        self._epoch, self._row = 0, 0
        self._plan_of: tuple[int, _Plan] | None = None

    @property
    def epoch(self) -> float:
        """How many times the text has been gone through."""
        return self._epoch + self._row / self._plan(self._epoch).rows

    def next(self) -> MaskedBatch:
        """This process's rows of the next batch."""
        rank, world = self.share
        rows = []
        for number in range(self.batch_size):
            if self._row == self._plan(self._epoch).rows:
                self._epoch, self._row = self._epoch + 1, 0
            if number % world == rank:
                rows.append((self._epoch, self._row))
            self._row += 1
        return self._batch(rows)

    def once(self) -> Iterator[MaskedBatch]:
        """The rows of the first epoch in order, each time with the same hidden tokens; the last batch may be
        smaller.
        """
        rows = self._plan(0).rows
        for first in range(0, rows, self.batch_size):
            yield self._batch([(0, row) for row in range(first, min(first + self.batch_size, rows))])

    @property
    def rows_per_epoch(self) -> int:
        """How many rows the first epoch has; others have about as many."""
        return self._plan(0).rows

    def state_dict(self) -> dict[str, int]:
        """All that decides what comes next, as a few integers for JSON."""
        return {
            "epoch": self._epoch,
            "row": self._row,
            "seed": self.seed,
            "context": self.context,
            "tokens": self.shards.tokens,
            "shards": int(self.shards.digest[:13], 16),  # 52 bits: as much as any JSON reader keeps
        }

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on exactly where `state_dict` was taken; ConfigError when text, context or seed differ."""
        advice = "the first run's text, tokenizer, --context and --seed"
        check_same_order(state, self.state_dict(), place=("epoch", "row"), advice=advice)
        self._epoch, self._row = int(state["epoch"]), int(state["row"])

    # ---- one epoch

    def _plan(self, epoch: int) -> _Plan:
        if self._plan_of is None or self._plan_of[0] != epoch:
            self._plan_of = None  # two plans of a large corpus need not be in memory at once
            self._plan_of = epoch, self._planned(epoch)
        return self._plan_of[1]

    def _planned(self, epoch: int) -> _Plan:
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, epoch])))
        chunks_N3, documents_N = self._chunks(random)
        if self.pairs:
            spans_N4, labels_N = self._paired(chunks_N3, documents_N, random)
        else:
            spans_N4 = np.concatenate([chunks_N3[:, [0, 2]], chunks_N3[:, [2, 2]]], axis=1)
            labels_N = np.full(len(spans_N4), ALONE)
        order = random.permutation(len(spans_N4))
        spans_N4, labels_N = spans_N4[order], labels_N[order]
        lengths = _lengths(spans_N4)
        firsts, room = [0], self.context
        for number, length in enumerate(lengths.tolist()):
            if length > room:
                firsts.append(number)
                room = self.context
            room -= length
        return _Plan(spans_N4, labels_N, np.array([*firsts, len(lengths)]))

    def _chunks(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Begin, cut and end of every chunk [N, 3], and its document [N]."""
        most = self.context - (3 if self.pairs else 2)
        found: list[tuple[int, int, int]] = []
        documents: list[int] = []
        for number in range(self.shards.documents):
            start = int(self.shards.offsets[number])
            tokens = self.shards.document(number)
            ends = np.flatnonzero(self.vocabulary.ends_V[tokens]) + 1
            begin, limit = 0, int(random.integers(most // 2, most, endpoint=True))
            if len(tokens) <= most:
                limit = most
            while begin < len(tokens):
                end = _cut(ends, begin, min(begin + limit, len(tokens)), len(tokens))
                inside = ends[np.searchsorted(ends, begin, "right") : np.searchsorted(ends, end, "left")]
                places = inside if len(inside) else np.arange(begin + 1, end)
                cut = int(places[random.integers(len(places))]) if len(places) else end
                found.append((start + begin, start + cut, start + end))
                documents.append(number)
                begin, limit = end, most
        if not found:
            raise DocumentError("there is no text to hide tokens of: every document is empty (--text)")
        return np.array(found), np.array(documents)

    def _paired(
        self, chunks_N3: np.ndarray, documents_N: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Spans [N, 4] and labels [N]: half of the second passages are another's."""
        spans_N4 = chunks_N3[:, [0, 1, 1, 2]]
        labels_N = np.where(chunks_N3[:, 1] < chunks_N3[:, 2], FOLLOWS, ALONE)
        seconds_N = chunks_N3[:, 2] - chunks_N3[:, 1]
        most = self.context - 3
        bounds = np.searchsorted(documents_N, [documents_N, documents_N + 1])
        for number in np.flatnonzero((labels_N == FOLLOWS) & (random.random(len(labels_N)) < 0.5)):
            first, last = int(bounds[0, number]), int(bounds[1, number])
            if self.negatives == "random":
                others = random.integers(len(documents_N), size=CANDIDATES)
                others = others[(others < first) | (others >= last)]
            else:
                others = random.integers(first, last, size=CANDIDATES)
                others = others[others != number]
            others = others[seconds_N[others] > 0]
            if len(others):
                nearest = others[np.abs(seconds_N[others] - seconds_N[number]).argmin()]
                begin, end = chunks_N3[nearest, 1:]
                room = most - (spans_N4[number, 1] - spans_N4[number, 0])
                spans_N4[number, 2:] = begin, min(end, begin + room)
            elif self.negatives == "same-document":
                spans_N4[number] = chunks_N3[number, [1, 2, 0, 1]]
            else:
                continue  # all text is one document: nothing else to put there
            labels_N[number] = STRANGER
        return spans_N4, labels_N

    # ---- rows

    def _batch(self, rows: list[tuple[int, int]]) -> MaskedBatch:
        shape = len(rows), self.context
        targets_BT = np.full(shape, self.vocabulary.marks.pad, dtype=np.int64)
        types_BT, positions_BT = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        segments_BT = np.full(shape, -1, dtype=np.int64)
        ids_BT, mask_BT = targets_BT.copy(), np.zeros(shape, dtype=bool)
        pairs: list[tuple[int, int, int]] = []
        for place, (epoch, row) in enumerate(rows):
            plan, at = self._plan(epoch), 0
            for segment, number in enumerate(range(plan.firsts_R[row], plan.firsts_R[row + 1])):
                ids, second = self._framed(plan.spans_N4[number])
                here = slice(at, at + len(ids))
                targets_BT[place, here], segments_BT[place, here] = ids, segment
                types_BT[place, at + second : at + len(ids)] = 1
                positions_BT[place, here] = np.arange(len(ids))
                if plan.labels_N[number] != ALONE:
                    pairs.append((place, at, int(plan.labels_N[number])))
                at += len(ids)
            seeds = np.random.SeedSequence([self.seed, epoch, row])
            random = np.random.Generator(np.random.Philox(seeds))
            ids_BT[place], mask_BT[place] = hide(
                targets_BT[place], self.vocabulary, random, real_T=segments_BT[place] >= 0
            )
        found = np.array(pairs, dtype=np.int64).reshape(-1, 3).T
        return MaskedBatch(ids_BT, targets_BT, mask_BT, types_BT, segments_BT, positions_BT, *found)

    def _framed(self, span_4: np.ndarray) -> tuple[np.ndarray, int]:
        """The ids of a pair between its marks, and where its second passage begins."""
        marks, (a, b, c, d) = self.vocabulary.marks, (int(place) for place in span_4)
        first = self.shards.take(np.arange(a, b))
        if c == d:
            return np.array([marks.first, *first, marks.end]), len(first) + 2
        second = self.shards.take(np.arange(c, d))
        return np.array([marks.first, *first, marks.end, *second, marks.end]), len(first) + 2


class MaskedValidation:
    """Held-out rows, the same ones with the same hidden tokens every time."""

    def __init__(self, rows: MaskedRows, tokens: int | None = None) -> None:
        """All rows of the first epoch, or about as many `tokens` from all over it."""
        self.rows, batches = rows, -(-rows.rows_per_epoch // rows.batch_size)
        wanted = batches if tokens is None else max(tokens // (rows.batch_size * rows.context), 1)
        self.every = max(-(-batches // wanted), 1)

    def __iter__(self) -> Iterator[MaskedBatch]:
        """One pass."""
        return (batch for number, batch in enumerate(self.rows.once()) if number % self.every == 0)


def hide(
    targets_T: np.ndarray,
    vocabulary: Vocabulary,
    random: np.random.Generator,
    *,
    real_T: np.ndarray | bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """The ids [T] that a model is given instead, and which of them [T] it is asked for: only real ones, as
    padding may have any id.
    """
    chosen_T = (random.random(targets_T.shape) < CHOSEN) & ~vocabulary.control_V[targets_T] & real_T
    fate_T = random.random(targets_T.shape)
    others_T = vocabulary.words[random.integers(len(vocabulary.words), size=targets_T.shape)]
    ids_T = np.where(chosen_T & (fate_T < MASKED), vocabulary.marks.mask, targets_T)
    replaced_T = chosen_T & (fate_T >= MASKED) & (fate_T < MASKED + REPLACED)
    return np.where(replaced_T, others_T, ids_T), chosen_T


def _cut(ends: np.ndarray, begin: int, limit: int, length: int) -> int:
    """Where a chunk that may reach `limit` ends: behind its last sentence, if that is not its first half."""
    if limit == length:
        return limit
    last = int(np.searchsorted(ends, limit, "right")) - 1
    return int(ends[last]) if last >= 0 and ends[last] > (begin + limit) // 2 else limit


def _lengths(spans_N4: np.ndarray) -> np.ndarray:
    """Tokens of each pair with its marks."""
    first_N, second_N = spans_N4[:, 1] - spans_N4[:, 0], spans_N4[:, 3] - spans_N4[:, 2]
    lengths: np.ndarray = first_N + second_N + np.where(second_N > 0, 3, 2)
    return lengths
