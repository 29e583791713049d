"""How probable a masked language model finds given tokens: each hidden in turn, all others in sight.

log p(token | all others), summed over the tokens, is the pseudo-log-likelihood (Wang and Cho 2019, Salazar
et al. 2020). It is no log-probability of the text: the factors see one another's tokens, so the sum may be
far above the log-probability that any model which reads from left to right can give: never compare them.

Legend: `N` targets, `R` rows of one pass, `V` vocabulary.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from shizuku.errors import ModelError
from shizuku.inference import sampling
from shizuku.inference.engine import Engine
from shizuku.inference.scoring import Passage, PassageScore, Score
from shizuku.inference.validation import check_prompt
from shizuku.progress import warn_once
from shizuku.text.framing import framed, marks_of
from shizuku.text.tokenizer import Tokenizer

PASS_TOKENS = 8192
"""Tokens of the texts that share a pass, one text for each hidden token."""


def pseudo_scores(
    engine: Engine,
    tokenizer: Tokenizer,
    sequences: Sequence[Sequence[int]],
    contexts: Sequence[Sequence[int]],
    *,
    context: int,
) -> list[Score]:
    """What `LanguageModel.score` answers for a masked language model: its pseudo-log-likelihood of each.

    A context stands before its text between the same marks, in sight and not scored. Raises ModelError for a
    text that is empty or doesn't fit `context`, and warns once what the figures are.
    """
    warn_once(
        "this model hides tokens instead of continuing texts: its scores are pseudo-log-likelihoods, each "
        "token behind and before all others, and not comparable with those of other models"
    )
    passages = []
    for number, (prefix, ids) in enumerate(zip(contexts, sequences, strict=True)):
        if not ids:
            raise ModelError(f"text {number} is empty: there is nothing to score")
        whole = framed(tokenizer, [*prefix, *ids])
        if len(whole) > context:
            raise ModelError(
                f"text {number} has {len(whole)} tokens with what stands around it, the context length is "
                f"{context}: shorten it, or measure a long text with `shizuku eval --text`"
            )
        passages.append(Passage(whole, 1 + len(prefix)))
    found = pseudo_score_passages(engine, tokenizer, passages)
    return [
        Score(score.logprobs_N, bool(score.greedy_N.all()), tuple(ids), 0)
        for score, ids in zip(found, sequences, strict=True)
    ]


def pseudo_score_passages(
    engine: Engine, tokenizer: Tokenizer, passages: Sequence[Passage]
) -> list[PassageScore]:
    """Score the tokens of each passage from `first` to the one before its closing mark."""
    mask = marks_of(tokenizer).mask
    for passage in passages:
        check_prompt(passage.ids, 0, context=engine.runtime.context, vocab_size=engine.runtime.vocab_size)
    found = [(np.empty(len(p.ids) - 1 - p.first, np.float32), []) for p in passages]  # type: ignore[var-annotated]
    longest = max((len(passage.ids) for passage in passages), default=1)
    rows = max(1, min(PASS_TOKENS // longest, 16_000_000 // engine.runtime.vocab_size))
    for some in _in_groups(_hidden(passages, mask), rows):
        with engine.turn:
            logits_RV = engine.runtime.logits_at(  # type: ignore[attr-defined]
                [ids for _, _, ids in some], [place for _, place, _ in some]
            )
        normalisers_R = sampling.log_normalisers(logits_RV)
        sampling.check_numbers(normalisers_R)
        for row, (number, place, _) in enumerate(some):
            target = passages[number].ids[place]
            logprobs_N, greedy = found[number]
            logprobs_N[place - passages[number].first] = min(
                float(logits_RV[row, target] - normalisers_R[row]), 0.0
            )
            greedy.append(int(logits_RV[row].argmax()) == target)
    return [PassageScore(logprobs_N, np.array(greedy, dtype=bool)) for logprobs_N, greedy in found]


def _hidden(passages: Sequence[Passage], mask: int) -> Iterator[tuple[int, int, list[int]]]:
    """Each passage once for each of its targets, with that one hidden: (passage, place, ids)."""
    for number, passage in enumerate(passages):
        for place in range(passage.first, len(passage.ids) - 1):
            ids = list(passage.ids)
            ids[place] = mask
            yield number, place, ids


def _in_groups(
    each: Iterator[tuple[int, int, list[int]]], size: int
) -> Iterator[list[tuple[int, int, list[int]]]]:
    while group := list(islice(each, size)):
        yield group
