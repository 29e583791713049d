"""One request on its way: its tokens, and how logits become its next ones.

N rows of logits, V vocabulary.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from shizuku.inference import sampling
from shizuku.inference.blocks import BlockPool, BlockTable, key_after
from shizuku.inference.requests import Finish, Request, Step
from shizuku.inference.tickets import Ticket

# Tokens guessed ahead at first; twice as many after all came true, half as many after none did.
FIRST_GUESSES, MOST_GUESSES = 4, 32


class Continuation:
    """One request at work: `ids` are the prompt and what was made so far, of which the cache has `held`."""

    def __init__(self, request: Request, ticket: Ticket, table: BlockTable) -> None:
        """Begin with the prompt; `request.settings.max_new_tokens` must be a number."""
        assert request.settings.max_new_tokens is not None, "the engine was given a request without a limit"
        self.request, self.ticket, self.table = request, ticket, table
        self.ids = list(request.ids)
        self.prompt_tokens = len(self.ids)
        self.limit = self.prompt_tokens + request.settings.max_new_tokens
        self.held = 0
        self.told = 0 if request.prompt_logprobs else self.prompt_tokens
        """Tokens of the prompt that need no more be told with their log-probabilities."""
        self.finish: Finish | None = None
        self.cancelled = False
        self.interrupted = False
        """Whether it once had to give its blocks back."""
        self.guesses = FIRST_GUESSES
        """How many tokens it is worth to guess ahead."""
        self._prompt_keys: list[bytes] | None = None

    @property
    def client(self) -> str:
        """Whose it is."""
        return self.request.client

    @property
    def unread(self) -> int:
        """Tokens that the cache doesn't hold yet; 1 for a request that only waits for its next token."""
        return len(self.ids) - self.held

    @property
    def decoding(self) -> bool:
        """Whether it needs nothing but its next token."""
        return self.unread == 1 and self.held >= self.told and self.held > 0

    @property
    def shareable(self) -> int:
        """How many of the first tokens may come from blocks of others: the last one is always read."""
        if self.told < self.prompt_tokens:
            return max(self.told - 1, 0)  # the logits behind the others are wanted
        return len(self.ids) - 1

    @property
    def guessable(self) -> bool:
        """Whether tokens may be guessed ahead: a processor with a memory would see tokens that never come."""
        return all(getattr(processor, "pure", False) for processor in self.request.processors)

    def prompt_keys(self, pool: BlockPool) -> list[bytes]:
        """Keys of the full blocks that the prompt fills."""
        if self._prompt_keys is None:
            size, key, self._prompt_keys = pool.block_tokens, self.table.root, []
            for start in range(0, self.prompt_tokens - size + 1, size):
                key = key_after(key, self.ids[start : start + size])
                self._prompt_keys.append(key)
        return self._prompt_keys

    def prompt_steps(self, logits_NV: Float[np.ndarray, "N V"], first: int) -> Iterator[Step]:
        """Tell the prompt's tokens; row n of the logits stands behind token `first` + n."""
        index, wanted = self.request.index, self.request.logprobs
        if self.told == 0:
            self.told = 1
            yield Step(index, self.ids[0], self._prompt_end(), prompt=True)
        skipped = self.told - 1 - first
        rows = logits_NV[skipped : self.prompt_tokens - 1 - first]
        for logits_V, normaliser in zip(rows, sampling.log_normalisers(rows), strict=True):
            token = self.ids[self.told]
            self.told += 1
            logprob = min(float(logits_V[token]) - float(normaliser), 0.0)
            top = sampling.best_tokens(logits_V, float(normaliser), wanted or 0)
            yield Step(index, token, self._prompt_end(), logprob, top, prompt=True)

    def _prompt_end(self) -> Finish | None:
        if self.told == self.prompt_tokens == self.limit:
            self.finish = "length"
        return self.finish

    def next_steps(self, logits_NV: Float[np.ndarray, "N V"], guessed: Sequence[int] = ()) -> Iterator[Step]:
        """Choose the next token from the first row, and further ones as long as `guessed` was right.

        Row n stands behind the n first guessed tokens, so it counts only where the choices before it came
        out as guessed: every token is what it would have been without guessing.
        """
        for place, logits_V in enumerate(logits_NV):
            step = self._choose(logits_V)
            yield step
            if step.finish or place == len(guessed) or step.token_id != guessed[place]:
                return

    def learn_guess(self, count: int, right: int) -> None:
        """Of `count` tokens guessed ahead, the first `right` came true."""
        if right == count:
            self.guesses = min(2 * self.guesses, MOST_GUESSES)
        elif right == 0:
            self.guesses = max(self.guesses // 2, 1)

    def _choose(self, raw_V: Float[np.ndarray, "V"]) -> Step:
        request, settings = self.request, self.request.settings
        logits_V = raw_V
        if request.processors and request.logprobs is not None:
            logits_V = raw_V.copy()  # a processor may write into what it is given
        for processor in request.processors:
            logits_V = processor(self.ids, logits_V)
        logits_V = sampling.adjust(logits_V, settings, self.ids, self.prompt_tokens)
        uniform = sampling.uniform_for(settings.seed, request.index, len(self.ids) - self.prompt_tokens)
        token = sampling.choose(logits_V, settings, uniform)
        self.ids.append(token)
        if token in request.stop_ids:
            self.finish = "stop"
        elif len(self.ids) >= self.limit:
            self.finish = "length"
        if request.logprobs is None:
            return Step(request.index, token, self.finish)
        normaliser = float(sampling.log_normalisers(raw_V[None])[0])
        logprob = min(float(raw_V[token]) - normaliser, 0.0)
        top = sampling.best_tokens(raw_V, normaliser, request.logprobs)
        return Step(request.index, token, self.finish, logprob, top)
