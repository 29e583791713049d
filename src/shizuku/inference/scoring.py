"""How probable a model finds given tokens: log-probabilities of targets behind what stands before them.

T tokens, N targets, D width, V vocabulary. The logits of a whole text are never held: what is longer than
fits is read in pieces, with the engine's cache between them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from shizuku.errors import ModelError
from shizuku.inference import sampling
from shizuku.inference.engine import Engine
from shizuku.inference.runtime import Span
from shizuku.inference.validation import check_prompt

# Tokens of one pass: enough for full-speed matrix products, small enough for a laptop.
PASS_TOKENS = 4096
# Logits held at once, in elements: 64 MB of float32.
LOGITS_AT_ONCE = 16_000_000
# So many tokens without targets before the first one are worth a pass of their own, without logits.
SILENT_TOKENS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """How probable a model finds one text."""

    token_logprobs: Float[np.ndarray, "T"]
    """Log-probability of each scored token in nats, float32 [T], at most 0."""
    is_greedy: bool
    """Whether every scored token is the one that greedy decoding takes."""
    token_ids: tuple[int, ...]
    """The scored tokens."""
    unscored: int
    """How many tokens at the beginning have nothing before them to be predicted from (0 or 1)."""

    @property
    def logprob(self) -> float:
        """Log-probability of the scored tokens together, in nats."""
        return float(self.token_logprobs.sum(dtype=np.float64))


@dataclass(frozen=True, slots=True)
class Passage:
    """A sequence of token ids of which those from `first` on are scored."""

    ids: Sequence[int]
    """The whole sequence, what stands before the targets included."""
    first: int
    """Index of the first target, at least 1: the first token of a sequence has nothing before it."""


@dataclass(frozen=True, slots=True, eq=False)
class PassageScore:
    """What a model says of the targets of one passage."""

    logprobs_N: Float[np.ndarray, "N"]
    """Log-probability of each target in nats, float32, at most 0."""
    greedy_N: Bool[np.ndarray, "N"]
    """Whether each target is what greedy decoding would have chosen."""


def score_sequences(
    engine: Engine,
    sequences: Sequence[Sequence[int]],
    *,
    prefixes: Sequence[Sequence[int]],
    context: int,
    adapter: str | None = None,
) -> list[Score]:
    """Score the ids of each sequence behind its prefix, which is not scored.

    Raises ModelError for a sequence that is empty or doesn't fit `context` together with its prefix.
    """
    passages = []
    for number, (prefix, ids) in enumerate(zip(prefixes, sequences, strict=True)):
        if not ids:
            raise ModelError(f"text {number} is empty: there is nothing to score")
        if len(prefix) + len(ids) > context:
            raise ModelError(
                f"text {number} has {len(prefix) + len(ids)} tokens with what stands before it, the context "
                f"length is {context}: shorten it, or measure a long text with `shizuku eval --text`, which "
                "goes over it in windows"
            )
        passages.append(Passage([*prefix, *ids], max(len(prefix), 1)))
    found = score_passages(engine, passages, adapter=adapter)
    return [
        Score(score.logprobs_N, bool(score.greedy_N.all()), tuple(one.ids[one.first :]), int(not prefix))
        for score, one, prefix in zip(found, passages, prefixes, strict=True)
    ]


def score_passages(
    engine: Engine, passages: Sequence[Passage], *, adapter: str | None = None
) -> list[PassageScore]:
    """Score every passage, under one adapter or none; those of similar length share a pass, for speed alone.

    Raises ModelError for a passage that is longer than the context or has ids outside the vocabulary.
    """
    runtime = engine.runtime
    for passage in passages:
        assert 1 <= passage.first <= len(passage.ids), "a target needs a token before it"
        check_prompt(passage.ids, 0, context=runtime.context, vocab_size=runtime.vocab_size)
    scores: dict[int, PassageScore] = {}
    rows = max(1, LOGITS_AT_ONCE // runtime.vocab_size)
    lengths = [len(passage.ids) for passage in passages]
    # Half of the blocks: the others may be at work for requests.
    most_blocks = max(1, engine.most_blocks // 2)
    for group in _groups(lengths, min(PASS_TOKENS, rows), runtime.block_tokens, most_blocks):
        found = _score_group(engine, [passages[number] for number in group], rows, adapter)
        scores.update(zip(group, found, strict=True))
    return [scores[number] for number in range(len(passages))]


def whole_logits(
    engine: Engine, ids: Sequence[int], *, adapter: str | None = None
) -> Float[np.ndarray, "T V"]:
    """Logits float32 [T, V] of what comes after each token of one sequence, which is read anew."""
    with engine.borrowed(len(ids)) as blocks:
        return engine.runtime.forward([Span(ids, 0, blocks, "all", adapter)])


def _groups(lengths: Sequence[int], most: int, size: int, most_blocks: int) -> Iterator[list[int]]:
    """Indices of passages that share a pass: sorted by length, at most so many tokens with their padding, and
    so many blocks of `size` tokens.
    """
    group: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        blocks = -(-lengths[group[0]] // size) * (len(group) + 1) if group else 0
        if group and (lengths[group[0]] * (len(group) + 1) > most or blocks > most_blocks):
            yield group
            group = []
        group.append(number)
    if group:
        yield group


def _score_group(
    engine: Engine, passages: Sequence[Passage], rows: int, adapter: str | None
) -> list[PassageScore]:
    size = engine.runtime.block_tokens
    counts = [-(-len(passage.ids) // size) for passage in passages]
    found: list[tuple[list[np.ndarray], list[np.ndarray]]] = [([], []) for _ in passages]
    with engine.borrowed(sum(counts) * size) as blocks:
        places = np.cumsum([0, *counts])
        own = [blocks[a:b] for a, b in pairwise(places)]
        for pieces in _passes(passages, rows):
            spans = [
                Span(passages[n].ids[begin:end], begin, own[n], "all" if scored else "none", adapter)
                for n, begin, end, scored in pieces
            ]
            logits_RV = engine.runtime.forward(spans)
            row = 0
            for n, begin, end, scored in pieces:
                if scored:
                    some_NV = logits_RV[row : row + end - begin]
                    row += end - begin
                    _note(found[n], passages[n], some_NV, begin)
    return [
        PassageScore(np.concatenate([np.empty(0, np.float32), *a]), np.concatenate([np.empty(0, bool), *b]))
        for a, b in found
    ]


def _passes(passages: Sequence[Passage], rows: int) -> Iterator[list[tuple[int, int, int, bool]]]:
    """What each forward pass reads: (passage, begin, end, whether logits are wanted).

    The last token of a passage is not read, as it predicts nothing that is asked for.
    """
    if len(passages) == 1 and len(passages[0].ids) - passages[0].first > rows:
        passage = passages[0]
        if passage.first > 1:
            yield [(0, 0, passage.first - 1, False)]
        for begin in range(passage.first - 1, len(passage.ids) - 1, rows):
            yield [(0, begin, min(begin + rows, len(passage.ids) - 1), True)]
        return
    silent = [one.first - 1 if one.first > SILENT_TOKENS else 0 for one in passages]
    before = [(n, 0, end, False) for n, end in enumerate(silent) if end]
    scored = [
        (n, begin, len(passages[n].ids) - 1, True)
        for n, begin in enumerate(silent)
        if len(passages[n].ids) > passages[n].first
    ]
    if before and scored:
        yield before
    if scored:
        yield scored


def _note(
    found: tuple[list[np.ndarray], list[np.ndarray]],
    passage: Passage,
    logits_NV: Float[np.ndarray, "N V"],
    begin: int,
) -> None:
    """Score the targets behind tokens `begin` and later of a passage."""
    skipped = max(passage.first - 1 - begin, 0)
    logits_NV = logits_NV[skipped:]
    begin += skipped
    targets_N = np.asarray(passage.ids[begin + 1 : begin + 1 + len(logits_NV)])
    own_N = np.take_along_axis(logits_NV, targets_N[:, None], -1)[:, 0]
    logprobs_N = own_N - sampling.log_normalisers(logits_NV)
    sampling.check_numbers(logprobs_N)
    found[0].append(np.minimum(logprobs_N, 0.0).astype(np.float32))
    found[1].append(logits_NV.argmax(-1) == targets_N)
