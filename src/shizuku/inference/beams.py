"""Beam search: the best of the translations that a model of pairs writes token by token. Token ids only.

Legend: `B` sentences, `W` beams of a sentence, `V` vocabulary; rows are B · W.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from shizuku.errors import ConfigError
from shizuku.inference.sampling import check_numbers
from shizuku.models.translating import Sources, TargetState, TranslationModel

MOST_BEAMS = 1000
"""More help no translation, and would fill the memory before anything is said."""


@dataclass(frozen=True, slots=True)
class BeamSettings:
    """How translations are looked for."""

    beams: int = 4
    """Beginnings of a translation that are kept at each step; with 1 the best token is always taken."""
    length_penalty: float = 1.0
    """Power a in log p / ((5 + length) / 6)^a, by which translations are compared (Wu et al. 2016); 0 prefers
    short ones.
    """
    max_new_tokens: int | None = None
    """Tokens of a translation at most, its end counted; none: twice those of the source and ten more."""

    def __post_init__(self) -> None:
        for flag, number in (("--beams", self.beams), ("--max-new-tokens", self.max_new_tokens)):
            if number is not None and (type(number) is not int or number < 1):
                raise ConfigError(f"{flag} {number}: expected a whole number >= 1")
        if self.beams > MOST_BEAMS:
            raise ConfigError(
                f"--beams {self.beams}: expected at most {MOST_BEAMS}; time and memory grow with each"
            )
        if not 0 <= self.length_penalty < math.inf:
            raise ConfigError(f"--length-penalty {self.length_penalty}: expected a number of 0 or more")

    def normalised(self, logprob: float, length: int) -> float:
        """What translations are compared by, from the log-probability and the tokens, the end counted."""
        return logprob / float((5 + length) / 6) ** self.length_penalty

    def limit(self, source: int, context: int) -> int:
        """Tokens that the translation of a source may have."""
        return min(self.max_new_tokens or 2 * source + 10, context)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One translation that was found."""

    ids: tuple[int, ...]
    """Its tokens, without the one that ends it."""
    logprob: float
    """Log-probability of all its tokens and of its end, in nats."""
    score: float
    """The same, normalised by its length."""
    finish: Literal["stop", "length"]
    """Whether the model ended it, or the limit did, where another token was more probable."""


@dataclass(slots=True)
class _Sentence:
    """One source, while its translations are looked for."""

    number: int
    limit: int
    live: list[tuple[float, tuple[int, ...]]] = field(default_factory=lambda: [(0.0, ())])
    found: list[Hypothesis] = field(default_factory=list)

    @property
    def last(self) -> bool:
        """Whether the next token can only be the end."""
        return len(self.live[0][1]) + 1 == self.limit

    def close(self, candidates: list[tuple[float, int, int]], settings: BeamSettings, end_id: int) -> None:
        """End all beams, of which the candidates are the most probable token (the beams' ends first)."""
        best = {beam: token for _, beam, token in candidates[len(self.live) :]}
        for logprob, beam, _ in candidates[: len(self.live)]:
            ids = self.live[beam][1]
            score = settings.normalised(logprob, len(ids) + 1)
            finish: Literal["stop", "length"] = "stop" if best[beam] == end_id else "length"
            self.found.append(Hypothesis(ids, logprob, score, finish))

    def take(
        self, candidates: list[tuple[float, int, int]], settings: BeamSettings, end_id: int
    ) -> list[int] | None:
        """Go on with the best of (log-probability, beam, token); returns from which beams, None when done."""
        if self.last:
            self.close(candidates, settings, end_id)
            return None
        live: list[tuple[float, tuple[int, ...]]] = []
        beams: list[int] = []
        for rank, (logprob, beam, token) in enumerate(candidates):
            if logprob == -torch.inf:
                break
            ids = self.live[beam][1]
            if token != end_id:
                live.append((logprob, (*ids, token)))
                beams.append(beam)
            elif rank < settings.beams:
                score = settings.normalised(logprob, len(ids) + 1)
                self.found.append(Hypothesis(ids, logprob, score, "stop"))
            if len(live) == settings.beams:
                break
        self.live = live
        return None if self._is_done(settings) else beams

    def _is_done(self, settings: BeamSettings) -> bool:
        if not self.live or len(self.found) >= settings.beams:
            return True
        # Log-probabilities only fall, and weigh least over the longest translation that may still come.
        bound = settings.normalised(max(logprob for logprob, _ in self.live), self.limit)
        return bool(self.found) and max(one.score for one in self.found) >= bound


def best_first(found: Sequence[Hypothesis]) -> list[Hypothesis]:
    """The translations of one source in their order."""
    return sorted(found, key=lambda one: (-one.score, one.ids))


@torch.inference_mode()
def search(
    model: TranslationModel,
    sources: Sequence[Sequence[int]],
    settings: BeamSettings,
    *,
    start_id: int,
    end_id: int,
    banned: Collection[int] = (),
    batch_size: int = 32,
) -> list[list[Hypothesis]]:
    """The translations found for each source, the best first, at least one.

    Sources are token ids with their end. Sentences of like length are read together; none depends on which.
    `banned` tokens are never written.
    """
    order = sorted(range(len(sources)), key=lambda number: len(sources[number]))
    results: list[list[Hypothesis]] = [[] for _ in sources]
    never = sorted({*banned, start_id} - {end_id})
    for at in range(0, len(order), batch_size):
        numbers = order[at : at + batch_size]
        state = model.start(Sources.padded([sources[number] for number in numbers], end_id))
        context = model.config.context
        sentences = [_Sentence(n, settings.limit(len(sources[n]), context)) for n in numbers]
        for sentence in _ended(model, state, sentences, settings, start_id, end_id, never):
            results[sentence.number] = best_first(sentence.found)
    return results


def _ended(
    model: TranslationModel,
    state: TargetState,
    sentences: list[_Sentence],
    settings: BeamSettings,
    start_id: int,
    end_id: int,
    never: list[int],
) -> Iterator[_Sentence]:
    """Go on until all are done; yields each sentence when it is."""
    ids_R = torch.full((len(sentences),), start_id)
    while sentences:
        logp_RV = torch.log_softmax(model.step(ids_R, state).float(), -1)
        check_numbers(logp_RV.amax(-1).numpy())
        logp_RV[:, never] = -torch.inf
        candidates = _candidates(logp_RV, sentences, settings.beams, end_id)
        rows, tokens, left, first = [], [], [], 0
        for sentence, best in zip(sentences, candidates, strict=True):
            width = len(sentence.live)
            beams = sentence.take(best, settings, end_id)
            if beams is None:
                yield sentence
            else:
                left.append(sentence)
                rows += [first + beam for beam in beams]
                tokens += [ids[-1] for _, ids in sentence.live]
            first += width
        sentences = left
        if sentences:
            state.select_rows(torch.tensor(rows))
            ids_R = torch.tensor(tokens)


def _candidates(
    logp_RV: Tensor, sentences: Sequence[_Sentence], beams: int, end_id: int
) -> list[list[tuple[float, int, int]]]:
    """For each sentence its best continuations (log-probability, beam, token), more than can be used; of one
    that has to end, its beams' ends, and their most probable tokens.
    """
    vocabulary = logp_RV.shape[1]
    each = min(2 * beams, vocabulary)
    best_RE, tokens_RE = logp_RV.topk(each, -1)
    found, first = [], 0
    values, tokens = best_RE.double().tolist(), tokens_RE.tolist()
    ends = logp_RV[:, end_id].double().tolist()
    for sentence in sentences:
        if sentence.last:
            closed = [(one + ends[first + beam], beam, end_id) for beam, (one, _) in enumerate(sentence.live)]
            wanted = [(0.0, beam, tokens[first + beam][0]) for beam in range(len(sentence.live))]
            found.append([*closed, *wanted])
            first += len(sentence.live)
            continue
        some = [
            (before + logp, beam, token)
            for beam, (before, _) in enumerate(sentence.live)
            for logp, token in zip(values[first + beam], tokens[first + beam], strict=True)
        ]
        some.sort(key=lambda one: (-one[0], one[1], one[2]))
        found.append(some[: 2 * beams])
        first += len(sentence.live)
    return found


@torch.inference_mode()
def score_pairs(
    model: TranslationModel, sources: Sources, ids_BT: Tensor, targets_BT: Tensor
) -> tuple[Tensor, Tensor]:
    """Log-probabilities float32 [B, T] of the targets, and whether each is the most probable token."""
    logits_BTV = model.unembed(model.hidden(ids_BT, sources=sources)).float()
    logp_BTV = torch.log_softmax(logits_BTV, -1)
    greedy_BT = logits_BTV.argmax(-1) == targets_BT
    own_BT = logp_BTV.gather(-1, targets_BT[..., None])[..., 0]
    check_numbers(own_BT.numpy())
    return own_BT, greedy_BT
