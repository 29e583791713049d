"""Token ids in, token ids out: prompts of any number and lengths, continued by an engine."""

from collections.abc import Iterator, Sequence
from dataclasses import fields

from shizuku.errors import EngineBusy
from shizuku.inference.engine import Engine
from shizuku.inference.requests import Processor, Request, Step
from shizuku.inference.sampling import SamplingConfig
from shizuku.inference.settings import GenerationSettings
from shizuku.inference.tickets import Ticket


class Generation(Iterator[Step]):
    """The steps of several requests, as they are made; in each round every running one gives its own.

    `finish(index)` ends one request early, `close()` ends all; what they held is free at once. A generation
    that nobody holds any more closes itself.
    """

    def __init__(self, engine: Engine, requests: Sequence[Request], *, at_once: int | None = None) -> None:
        """Submit the requests, at most `at_once` of them at a time."""
        self._engine, self._waiting = engine, list(requests)[::-1]
        self._tickets: list[Ticket] = []
        self._ready: list[Step] = []
        self._at_once = at_once or len(requests) or 1
        self._submit()

    def __next__(self) -> Step:
        while not self._ready:
            for ticket in self._tickets:
                self._ready += ticket.ready()
                if ticket.error is not None:
                    self.close()
                    raise ticket.error
            if self._ready:
                self._ready.reverse()
                break
            self._submit()
            if not self._tickets:
                raise StopIteration
            self._advance()
        return self._ready.pop()

    def finish(self, index: int) -> None:
        """The caller has enough of the request with this index."""
        for ticket in [ticket for ticket in self._tickets if ticket.request.index == index]:
            self._tickets.remove(ticket)
            ticket.cancel()
        self._waiting = [request for request in self._waiting if request.index != index]

    def close(self) -> None:
        """Make no further tokens."""
        tickets, self._tickets, self._waiting, self._ready = self._tickets, [], [], []
        for ticket in tickets:
            ticket.cancel()

    def __del__(self) -> None:
        self.close()

    def _submit(self) -> None:
        self._tickets = [ticket for ticket in self._tickets if not ticket.done]
        while self._waiting and len(self._tickets) < self._at_once:
            try:
                self._tickets.append(self._engine.submit(self._waiting[-1]))
            except EngineBusy:
                if not self._tickets:
                    raise
                return  # when some of these have ended there is room for more
            self._waiting.pop()

    def _advance(self) -> None:
        """Wait for the engine's thread, or compute."""
        if self._engine.started:
            self._tickets[0].wait()
        elif not any(ticket.done for ticket in self._tickets):
            self._engine.step()


def generate(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    *,
    sampling: SamplingConfig,
    max_new_tokens: int | Sequence[int],
    stop_ids: frozenset[int] = frozenset(),
    processors: Sequence[Processor] = (),
    logprobs: int | None = None,
    indices: Sequence[int] | None = None,
    at_once: int | None = None,
) -> Generation:
    """Continue every prompt (token ids) by at most `max_new_tokens` tokens (one limit, or one for each
    prompt), or up to a stop token.

    `logprobs=n` adds log-probabilities of the token and of the n best. `indices` are the numbers that steps
    and draws know the prompts by (0, 1, … if left out), so that nothing depends on how a long list is cut
    into batches. Raises ModelError for an empty prompt, an unknown id, or one that doesn't fit the context;
    ConfigError for a limit that is negative or longer than the context has room for.
    """
    indices = range(len(prompts)) if indices is None else indices
    limits = [max_new_tokens] * len(prompts) if isinstance(max_new_tokens, int) else max_new_tokens
    requests = [
        Request(
            ids=list(prompt),
            settings=with_limit(sampling, limit),
            stop_ids=stop_ids,
            processors=tuple(processors),
            logprobs=logprobs,
            index=index,
        )
        for index, prompt, limit in zip(indices, prompts, limits, strict=True)
    ]
    for request in requests:
        engine.check(request)
    return Generation(engine, requests, at_once=at_once)


def with_limit(sampling: SamplingConfig, limit: int) -> GenerationSettings:
    """The settings of one request."""
    values = {f.name: getattr(sampling, f.name) for f in fields(SamplingConfig)}
    return GenerationSettings(**values, max_new_tokens=limit)
