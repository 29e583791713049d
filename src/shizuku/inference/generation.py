"""Token ids in, token ids out: a batch of prompts of any lengths is continued one step at a time.

B sequences still running, T tokens, V vocabulary. Prefill and decoding are the same step: feed tokens,
keep the state, look at the logits behind the last one. Shorter prompts are padded on the left with the
segment -1, which no query sees and which sees nothing, and every sequence counts its own positions;
so a prompt has the same logits alone and in any batch, up to the rounding of differently shaped sums.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from shizuku.errors import ConfigError, ModelError
from shizuku.inference import sampling as sample
from shizuku.inference.sampling import SamplingConfig
from shizuku.models.state import State

# A longer prompt is fed in pieces of this many tokens, which bounds the memory of attention scores.
PREFILL_CHUNK = 512
# Room made in the state before the first step; it grows when a continuation turns out longer.
FIRST_ROOM = 256

Processor = Callable[[Sequence[int], Tensor], Tensor]
"""`(ids, logits_V) -> logits_V`: changes one sequence's logits, given its prompt and what it has so far."""

Finish = Literal["stop", "length"]


@runtime_checkable
class DecoderShape(Protocol):
    """The part of a decoder's config that generation needs."""

    @property
    def context(self) -> int:
        """Longest sequence in tokens."""

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""


@runtime_checkable
class DecoderLike(Protocol):
    """What generation needs of a model; `shizuku.models.decoder.Decoder` is one."""

    @property
    def config(self) -> DecoderShape:
        """Context length and vocabulary."""

    @property
    def unembedding_weight_VD(self) -> Tensor:
        """The output matrix; the device it is on is where ids are wanted."""

    def hidden(
        self,
        ids_BT: Tensor | None = None,
        *,
        positions_BT: Tensor | None = None,
        segments_BT: Tensor | None = None,
        state: State | None = None,
    ) -> Tensor:
        """Vectors behind the final norm, [B, T, D]."""

    def unembed(self, x_D: Tensor, /) -> Tensor:
        """Logits [..., V] of vectors [..., D]."""

    def new_state(self, batch: int, capacity: int) -> State:
        """An empty state."""


@dataclass(frozen=True, slots=True)
class Step:
    """One new token of one sequence."""

    index: int
    """Which prompt of the call it continues."""
    token_id: int
    """The token; a stop token is given too, with `finish` "stop"."""
    finish: Finish | None
    """Why the sequence ends with this token: "stop" token, "length" limit, or not at all."""
    logprob: float | None = None
    """Log-probability in nats under the model itself: before processors, penalty and temperature."""
    top: tuple[tuple[int, float], ...] = ()
    """The best tokens with their log-probabilities, best first, as many as were asked for."""


@dataclass(slots=True)
class KeptState:
    """What one sequence left behind, for a next prompt that begins the same way: a conversation that goes on.

    Give the same object to each call; it is filled and used by `generate`.
    """

    state: State | None = None
    """State of the last sequence."""
    ids: list[int] = field(default_factory=list)
    """Its tokens, of which the state holds the first `state.length`."""

    def shared(self, ids: Sequence[int]) -> int:
        """How many of the first `ids` the state holds; always leaves one to be fed."""
        held = 0 if self.state is None else min(self.state.length, len(ids) - 1)
        return next((n for n in range(held) if self.ids[n] != ids[n]), held)


@dataclass(slots=True)
class _Sequence:
    index: int
    ids: list[int]
    remaining: int
    generator: torch.Generator
    done: bool = False


@dataclass(slots=True)
class _Batch:
    """The sequences that still run, one state row each."""

    rows: list[_Sequence]
    state: State
    padded: bool
    logits_BV: Tensor = field(default_factory=lambda: torch.empty(0))


class Generation(Iterator[Step]):
    """The steps of one batch, as they are made; in each round every running sequence gives one.

    `finish(index)` ends one sequence early, `close()` ends all; both take effect before the next step.
    """

    def __init__(
        self,
        model: DecoderLike,
        sequences: Sequence["_Sequence"],
        *,
        sampling: SamplingConfig,
        stop_ids: frozenset[int],
        processors: Sequence[Processor],
        logprobs: int | None,
        kept: KeptState | None,
    ) -> None:
        self._model, self._sampling, self._stop_ids = model, sampling, stop_ids
        self._processors, self._logprobs = _with_penalty(processors, sampling), logprobs
        self._kept = kept
        self._sequences = {sequence.index: sequence for sequence in sequences}
        self._steps = self._run()

    def __next__(self) -> Step:
        return next(self._steps)

    def finish(self, index: int) -> None:
        """The caller has enough of the sequence that continues prompt `index`."""
        self._sequences[index].done = True

    def close(self) -> None:
        """Stop all sequences and free their state."""
        self._steps.close()

    def _run(self) -> Generator[Step, None, None]:
        rows = [sequence for sequence in self._sequences.values() if sequence.remaining > 0]
        if not rows:
            return
        batch = _prefill(self._model, rows, self._kept)
        while True:
            yield from self._choose(batch)
            if not _drop_finished(batch):
                return
            _decode(self._model, batch)

    @torch.inference_mode()
    def _choose(self, batch: _Batch) -> list[Step]:
        """Take one token for every row, note it, and describe it."""
        logits_BV = raw_BV = batch.logits_BV
        if self._processors:
            logits_BV = torch.stack(
                [self._process(row.ids, logits_V) for row, logits_V in zip(batch.rows, raw_BV, strict=True)]
            )
        generators = [row.generator for row in batch.rows]
        chosen = sample.choose(logits_BV, self._sampling, generators).tolist()
        scores = self._scores(raw_BV, chosen)
        return [
            self._note(row, token, score)
            for row, token, score in zip(batch.rows, chosen, scores, strict=True)
        ]

    def _process(self, ids: Sequence[int], logits_V: Tensor) -> Tensor:
        for processor in self._processors:
            logits_V = processor(ids, logits_V)
        return logits_V

    def _scores(
        self, logits_BV: Tensor, chosen: Sequence[int]
    ) -> list[tuple[float | None, tuple[tuple[int, float], ...]]]:
        if self._logprobs is None:
            return [(None, ())] * len(chosen)
        logprobs_BV = logits_BV.double().log_softmax(-1)
        return [
            (float(logprobs_V[token]), best_tokens(logprobs_V, self._logprobs))
            for logprobs_V, token in zip(logprobs_BV, chosen, strict=True)
        ]

    def _note(
        self, row: _Sequence, token: int, score: tuple[float | None, tuple[tuple[int, float], ...]]
    ) -> Step:
        row.ids.append(token)
        row.remaining -= 1
        finish: Finish | None = None
        if token in self._stop_ids:
            finish = "stop"
        elif row.remaining == 0:
            finish = "length"
        row.done = row.done or finish is not None
        return Step(row.index, token, finish, *score)


def generate(
    model: DecoderLike,
    prompts: Sequence[Sequence[int]],
    *,
    sampling: SamplingConfig,
    max_new_tokens: int | Sequence[int],
    stop_ids: frozenset[int] = frozenset(),
    processors: Sequence[Processor] = (),
    logprobs: int | None = None,
    indices: Sequence[int] | None = None,
    kept: KeptState | None = None,
) -> Generation:
    """Continue every prompt (token ids) by at most `max_new_tokens` tokens (one limit, or one for each
    prompt), or up to a stop token.

    `logprobs=n` adds log-probabilities of the token and of the n best. `indices` are the numbers that steps
    and draws know the prompts by (0, 1, … if left out), so that nothing depends on how a long list is cut
    into batches. With `kept`, for one prompt at a time, what it shares with the last one is not read again.
    Raises ModelError for an empty prompt, an unknown id, or one that doesn't fit the context;
    ConfigError for a limit that is negative or longer than the context has room for.
    """
    assert kept is None or len(prompts) == 1, "a kept state belongs to one sequence"
    indices = range(len(prompts)) if indices is None else indices
    limits = [max_new_tokens] * len(prompts) if isinstance(max_new_tokens, int) else max_new_tokens
    context, vocabulary = model.config.context, model.config.vocab_size
    if logprobs is not None and not 0 <= logprobs <= vocabulary:
        raise ConfigError(f"--logprobs {logprobs}: expected 0 to {vocabulary} (the vocabulary)")
    sequences = []
    for index, prompt, limit in zip(indices, prompts, limits, strict=True):
        check_prompt(prompt, limit, context=context, vocab_size=vocabulary, name=f"prompt {index}")
        generator = sample.generator_for(sampling.seed, index)
        sequences.append(_Sequence(index, list(prompt), limit, generator))
    return Generation(
        model,
        sequences,
        sampling=sampling,
        stop_ids=stop_ids,
        processors=processors,
        logprobs=logprobs,
        kept=kept,
    )


def best_tokens(logprobs_V: Tensor, count: int) -> tuple[tuple[int, float], ...]:
    """The `count` likeliest tokens with their log-probabilities, best first, lower id first among equals."""
    if count == 0:
        return ()
    kept_V = sample.keep_largest(logprobs_V[None], torch.tensor([count], device=logprobs_V.device))[0]
    ids = torch.isfinite(kept_V).nonzero()[:, 0].tolist()
    pairs = [(token, float(logprobs_V[token])) for token in ids]
    return tuple(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def check_prompt(
    prompt: Sequence[int], new_tokens: int, *, context: int, vocab_size: int, name: str = "the prompt"
) -> None:
    """Refuse a prompt that a model of this `context` and vocabulary can't continue by `new_tokens`.

    Raises ModelError for the prompt's faults, ConfigError for those of the limit.
    """
    if new_tokens < 0:
        raise ConfigError(f"--max-new-tokens {new_tokens}: expected a whole number >= 0")
    if len(prompt) == 0:
        raise ModelError(f"{name} is empty: a model needs at least one token to continue from")
    if min(prompt) < 0 or max(prompt) >= vocab_size:
        bad = next(token for token in prompt if not 0 <= token < vocab_size)
        raise ModelError(f"{name}: token id {bad} is not one of the model's 0 to {vocab_size - 1}")
    if len(prompt) > context:
        raise ModelError(
            f"{name} has {len(prompt)} tokens, the context length is {context}: shorten --prompt"
        )
    if len(prompt) + new_tokens > context:
        raise ConfigError(
            f"--max-new-tokens {new_tokens}: with the {len(prompt)} tokens of {name} that is more than the "
            f"context length {context}; at most {context - len(prompt)} fit"
        )


def _with_penalty(processors: Sequence[Processor], sampling: SamplingConfig) -> list[Processor]:
    penalty = sampling.repetition_penalty
    if penalty == 1:
        return list(processors)
    return [lambda ids, logits_V: sample.penalise_repetition(logits_V, ids, penalty), *processors]


@torch.inference_mode()
def _step(
    model: DecoderLike,
    state: State,
    ids_BT: Tensor,
    positions_BT: Tensor | None = None,
    segments_BT: Tensor | None = None,
) -> Tensor:
    """Feed `ids_BT` behind what the state holds; the logits [B, V] behind the last token."""
    x_BTD = model.hidden(ids_BT, positions_BT=positions_BT, segments_BT=segments_BT, state=state)
    return model.unembed(x_BTD[:, -1])


@torch.inference_mode()
def _prefill(model: DecoderLike, rows: list[_Sequence], kept: KeptState | None = None) -> _Batch:
    device = model.unembedding_weight_VD.device
    lengths_B = torch.tensor([len(row.ids) for row in rows], device=device)
    longest = int(lengths_B.max())
    padded = int(lengths_B.min()) < longest
    ids_BT = torch.tensor([[0] * (longest - len(row.ids)) + row.ids for row in rows], device=device)
    positions_BT = torch.arange(longest, device=device) - (longest - lengths_B)[:, None]
    segments_BT = torch.where(positions_BT < 0, -1, 0)
    positions_BT = positions_BT.clamp(min=0)
    room = min(FIRST_ROOM, max(row.remaining for row in rows))
    begin = 0 if kept is None else kept.shared(rows[0].ids)
    if kept is not None and kept.state is not None and begin:
        state = kept.state
        state.truncate(begin)
    else:
        state = model.new_state(len(rows), longest + room)
    if kept is not None:
        kept.state, kept.ids = state, rows[0].ids
    batch = _Batch(rows, state, padded)
    for start in range(begin, longest, PREFILL_CHUNK):
        part = slice(start, start + PREFILL_CHUNK)
        layout = (positions_BT[:, part], segments_BT[:, part]) if padded else ()
        batch.logits_BV = _step(model, batch.state, ids_BT[:, part], *layout)
    return batch


@torch.inference_mode()
def _decode(model: DecoderLike, batch: _Batch) -> None:
    device = batch.logits_BV.device
    ids_B1 = torch.tensor([[row.ids[-1]] for row in batch.rows], device=device)
    if batch.padded:
        positions_B1 = torch.tensor([[len(row.ids) - 1] for row in batch.rows], device=device)
        batch.logits_BV = _step(model, batch.state, ids_B1, positions_B1, torch.zeros_like(ids_B1))
    else:
        batch.logits_BV = _step(model, batch.state, ids_B1)


@torch.inference_mode()
def _drop_finished(batch: _Batch) -> bool:
    """Let finished sequences leave the batch and its state; whether any are left."""
    keep = [number for number, row in enumerate(batch.rows) if not row.done]
    if 0 < len(keep) < len(batch.rows):
        batch.state.select_rows(torch.tensor(keep, device=batch.logits_BV.device))
    batch.rows = [batch.rows[number] for number in keep]
    return bool(keep)
