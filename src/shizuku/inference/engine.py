"""The engine: many requests on one runtime, joining and leaving at every step.

The face:

    engine = Engine(runtime, EngineSettings(running=16, waiting=256))
    ticket = engine.submit(Request(ids=…, settings=…, client="key of the caller"))
    for step in ticket: ...                 # Step(token_id, finish, logprob, top, prompt)
    ticket.cancel()                         # frees its blocks at once; the last step says "cancelled"
    ticket.finish, ticket.error, ticket.done, ticket.reused_tokens, ticket.ready()

    engine.start()                          # a thread of its own computes from now on (servers)
    engine.submit(request, on_step=f, on_end=g)
        # f(step) for each step, then once g(ticket), where ticket.finish or ticket.error says why it ended.
        # Both are called in the engine's thread and must return at once, for asyncio:
        #   on_step=lambda step: loop.call_soon_threadsafe(queue.put_nowait, step)
        # Steps that a callable got are not in the ticket's iterator.
    engine.close(finish_within=30.0)        # no new requests; those here may end within so many seconds
    engine.statistics()                     # Statistics: counts for /metrics, each documented there
    engine.add_adapter("polite", weights)   # then Request(adapter="polite", …); engine.adapters: their names
    engine.capacity                         # most tokens of one request, prompt and new ones together

`submit` never waits. It raises ModelError or ConfigError for a request that can't be served (empty, too
long, an unknown id), EngineBusy (with `.seconds` to wait) where the queue is full, EngineError after `close`
or after the engine broke. All methods may be called from any thread. Without `start` whoever iterates over a
ticket computes, for everybody: several tickets make progress together.

What a request gets depends on its ids, adapter, settings, seed and index alone: not on other requests, not
on how its prompt was cut into pieces, not on whether it lost its blocks on the way or tokens were guessed
ahead. (With a runtime whose `company_matters`, up to the rounding of its logits.)
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from shizuku.adapters.weights import AdapterWeights
from shizuku.errors import ConfigError, EngineBusy, EngineError, ModelError
from shizuku.inference.adapting import AdaptingRuntime, adapters_of, kind_of
from shizuku.inference.blocks import BlockPool, BlockTable
from shizuku.inference.capacity import cache_blocks
from shizuku.inference.continuation import Continuation
from shizuku.inference.engine_settings import EngineSettings
from shizuku.inference.requests import Finish, Request, Step
from shizuku.inference.runtime import Runtime, is_indivisible, reads_whole
from shizuku.inference.scheduling import Guesser, Scheduler, Work
from shizuku.inference.speculation import PromptLookup
from shizuku.inference.statistics import Statistics, Tally
from shizuku.inference.tickets import OnEnd, OnStep, Ticket
from shizuku.inference.validation import check_prompt
from shizuku.models.architectures import require

LENT_SECONDS = 0.01
"""How long a step that has no room waits for blocks that are lent, before it looks again."""


class Engine:
    """Continuous batching over a cache in blocks; see the head of this file for how it is used."""

    def __init__(
        self, runtime: Runtime, settings: EngineSettings | None = None, *, guesser: Guesser | None = None
    ) -> None:
        """Serve `runtime`, which nobody else may call from now on.

        With `speculative_tokens`, `guesser` guesses ahead; none: it is looked up in the text itself.
        """
        self.runtime, self.settings = runtime, settings or EngineSettings()
        self._guesser = guesser or PromptLookup()
        blocks = cache_blocks(runtime, self.settings)
        self._pool = BlockPool(
            runtime.block_tokens,
            blocks,
            reserve=runtime.reserve,
            copy=runtime.copy_block,
            indivisible=is_indivisible(runtime),
        )
        self._scheduler = Scheduler(self._pool, self.settings, runtime.vocab_size)
        self._tally = Tally()
        self._tickets: dict[Ticket, Continuation] = {}
        self._computed: list[Work] = []
        self._lent = 0
        self._ended: list[Continuation] = []  # the guesser has yet to hear of these
        self.turn = threading.Lock()
        """Held by whoever computes."""
        self._changed = threading.Condition(threading.RLock())  # guards everything above
        self._thread: threading.Thread | None = None
        self._closed: Exception | None = None
        self._stopping = False
        self._version = getattr(runtime, "version", None)

    # ---- for callers

    @property
    def started(self) -> bool:
        """Whether a thread of its own computes."""
        return self._thread is not None

    @property
    def problem(self) -> Exception | None:
        """Why no more requests are taken; None while they are."""
        return self._closed

    @property
    def capacity(self) -> int:
        """Most tokens of one request, prompt and new ones together."""
        return min(self.runtime.context, self._pool.most * self._pool.block_tokens)

    @property
    def most_blocks(self) -> int:
        """Most cache blocks that there may be."""
        return self._pool.most

    def submit(
        self, request: Request, *, on_step: OnStep | None = None, on_end: OnEnd | None = None
    ) -> Ticket:
        """Take a request in; see the head of this file."""
        self.check(request)
        ticket = Ticket(self, request, on_step, on_end)
        with self._changed:
            if self._closed is not None:
                raise EngineError(f"the engine takes no more requests: {self._closed}") from self._closed
            self._check_queue(request.client)
            self._check_weights()
            if request.settings.max_new_tokens == 0 and not request.prompt_logprobs:
                ticket.end("length")
                return ticket
            table = BlockTable(self._pool, kind_of(self.runtime, request.adapter))
            continuation = Continuation(request, ticket, table)
            self._tickets[ticket] = continuation
            self._scheduler.queue.enter(continuation)
            self._changed.notify_all()
        return ticket

    def add_adapter(self, name: str, weights: AdapterWeights) -> None:
        """Let requests name one more adapter, while others go on.

        ConfigError for a name that is taken and a runtime that can have no adapters, ModelError for an
        adapter that doesn't fit the model.
        """
        if not isinstance(self.runtime, AdaptingRuntime):
            raise ConfigError("this runtime can have no adapters: merge them into the model")
        with self.turn, self._changed:
            self.runtime.add_adapter(name, weights)

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters that requests may name."""
        return tuple(adapters_of(self.runtime))

    def check(self, request: Request) -> None:
        """Raise what `submit` would, but for the queue; ModelError for a model that continues no text."""
        if reads_whole(self.runtime):
            require(self.runtime.config, "generate")  # type: ignore[attr-defined]
        limit, vocabulary = request.settings.max_new_tokens, self.runtime.vocab_size
        if limit is None:
            raise ConfigError("max_new_tokens: the engine wants a number, got none")
        if request.logprobs is not None and not 0 <= request.logprobs <= vocabulary:
            raise ConfigError(f"--logprobs {request.logprobs}: expected 0 to {vocabulary} (the vocabulary)")
        kind_of(self.runtime, request.adapter)
        check_prompt(
            request.ids, limit, context=self.runtime.context, vocab_size=vocabulary,
            name=f"prompt {request.index}",
        )  # fmt: skip
        if len(request.ids) + limit > self.capacity:
            raise ConfigError(
                f"--max-new-tokens {limit}: with the {len(request.ids)} tokens of the prompt that is more "
                f"than the cache holds, {self.capacity} tokens: raise --cache-tokens or ask for less"
            )

    def cancel(self, ticket: Ticket) -> None:
        """End a request; what `ticket.cancel()` does."""
        with self._changed:
            continuation = self._tickets.get(ticket)
            if continuation is None:
                return
            continuation.cancelled = True
            if not any(work.continuation is continuation for work in self._computed):
                self._end_cancelled(continuation)

    def start(self) -> None:
        """Compute in a thread from now on, until `close`."""
        with self._changed:
            if self._closed is not None:
                raise EngineError(f"the engine cannot start again: {self._closed}") from self._closed
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="shizuku-engine", daemon=True)
                self._thread.start()

    def close(self, *, finish_within: float = 0.0) -> None:
        """Take no more requests, let those here end for at most so many seconds, cancel the rest."""
        with self._changed:
            if self._closed is None:
                self._closed = EngineError("it has been closed")
            if self._thread is not None and self._thread is not threading.current_thread():
                self._changed.wait_for(lambda: not self._tickets, timeout=finish_within)
            for ticket in list(self._tickets):
                self.cancel(ticket)
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None

    def statistics(self) -> Statistics:
        """Counts of now and since the beginning."""
        with self._changed:
            return self._tally.statistics(self._scheduler, self._pool)

    @contextmanager
    def borrowed(self, tokens: int) -> Iterator[Sequence[int]]:
        """Blocks for `tokens` tokens, and the runtime for oneself, inside the `with` block.

        For what is no continuation: scores and vectors of whole texts. ModelError where there is no room.
        """
        with self.lent(tokens) as blocks, self.turn:
            yield blocks

    @contextmanager
    def lent(self, tokens: int) -> Iterator[Sequence[int]]:
        """Blocks for `tokens` tokens inside the `with` block, while the requests go on.

        The runtime may be called inside `with engine.turn`, for a moment each time. ModelError as `borrowed`.
        """
        table = BlockTable(self._pool)
        with self.turn, self._changed:  # the cache may have to grow, which nobody may compute beside
            enough = table.extend(tokens)
            self._lent += enough
        try:
            if not enough:
                raise ModelError(
                    f"{tokens} tokens don't fit into the cache of {self._pool.most} blocks of "
                    f"{self._pool.block_tokens} tokens: free {self._pool.available}; "
                    "raise --cache-tokens or wait until requests have ended"
                )
            yield table.blocks
        finally:
            with self._changed:
                table.release([], 0)
                self._lent -= enough
                self._changed.notify_all()

    # ---- one step

    def step(self) -> bool:
        """Compute one step for all who can go on; whether there was anything to do.

        An error of the runtime ends all requests with it and closes the engine.
        """
        with self.turn:
            try:
                return self._step()
            except Exception as error:
                self._break(error)
                raise

    def _step(self) -> bool:
        begun = time.perf_counter()
        guessed = self._guesses()
        with self._changed:
            work = self._computed = self._scheduler.plan(guessed)
            if not work:
                # Who has lent blocks for a moment gives them back, and then there may be room.
                stuck = [] if self._lent else self._scheduler.running[:1]
                for continuation in stuck:
                    self._fail(continuation, ModelError("the cache has no room for this request alone"))
                return bool(stuck)
            spans = [one.span for one in work]
        try:
            logits_RV = self.runtime.forward(spans)
            with self._changed:
                start = 0
                for one in work:
                    self._use(one, logits_RV[start : start + one.rows])
                    start += one.rows
                self._tally.step(work, time.perf_counter() - begun)
        finally:
            self._computed = []
        return True

    def _guesses(self) -> dict[Continuation, list[int]]:
        """Tokens guessed ahead; only the thread that computes calls the guesser, and without the lock."""
        if self.settings.speculative_tokens == 0:
            return {}
        with self._changed:
            ended, self._ended = self._ended, []
            asked, most = self._scheduler.worth_guessing()
        for continuation in ended:
            self._guesser.leave(continuation)
        return dict(zip(asked, self._guesser.guess(asked, most), strict=True)) if asked else {}

    def _use(self, work: Work, rows_NV: np.ndarray) -> None:
        c = work.continuation
        if c.cancelled:
            self._end_cancelled(c)
            return
        first, before = c.held, len(c.ids)
        read = first + work.tokens
        try:
            if c.told < c.prompt_tokens and work.wanted == "all":
                for step in c.prompt_steps(rows_NV, first):
                    self._give(c, step)
                rows_NV = rows_NV[-1:]
            if read == before and work.wanted != "none" and c.finish is None:
                for step in c.next_steps(rows_NV, work.guessed):
                    self._give(c, step)
                    if c.cancelled:
                        break
        except (
            Exception
        ) as error:  # of a processor, a callable, or of impossible logits: this request's alone
            self._fail(c, error)
            return
        right = max(len(c.ids) - before - 1, 0)  # guesses that came true: the cache has them already
        if work.guessed:
            self._tally.guessed(len(work.guessed), right)
            c.learn_guess(len(work.guessed), right)
        self._scheduler.read(work, read + right)
        if c.finish is not None:
            self._end(c, c.finish)
        elif c.cancelled:  # by its own callable, just now
            self._end_cancelled(c)

    def _give(self, c: Continuation, step: Step) -> None:
        self._tally.token(step)
        c.ticket.put(step)

    # ---- ends

    def _end(self, c: Continuation, finish: Finish | None, error: Exception | None = None) -> None:
        self._remove(c, finish)
        c.ticket.end(finish, error)
        self._changed.notify_all()

    def _remove(self, c: Continuation, finish: Finish | None) -> None:
        del self._tickets[c.ticket]
        self._scheduler.leave(c)
        self._tally.ended(finish)
        if self.settings.speculative_tokens:
            self._ended.append(c)

    def _end_cancelled(self, c: Continuation) -> None:
        try:
            c.ticket.put(Step(c.request.index, -1, "cancelled"))
        except Exception as error:
            self._fail(c, error)
        else:
            self._end(c, "cancelled")

    def _fail(self, c: Continuation, error: Exception) -> None:
        self._end(c, None, error)

    def _break(self, error: Exception) -> None:
        """The runtime failed: nobody may wait for what will never come."""
        with self._changed:
            self._closed = error
            for ticket, continuation in list(self._tickets.items()):
                told = EngineError(f"the engine broke: {type(error).__name__}: {error}")
                told.__cause__ = error
                self._remove(continuation, None)
                ticket.end(None, told)
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._tickets or self._stopping)
                if self._stopping and not self._tickets:
                    return
            try:
                moved = self.step()
            except Exception:
                return  # everybody has been told by `step`
            if not moved:
                with self._changed:
                    self._changed.wait_for(lambda: not self._lent, timeout=LENT_SECONDS)

    # ---- what is refused

    def _check_queue(self, client: str) -> None:
        queue, settings = self._scheduler.queue, self.settings
        mine = settings.waiting_per_client
        places = settings.running - len(self._scheduler.running)
        if len(queue) - max(places, 0) >= settings.waiting:
            what = f"{len(queue)} requests wait already (--waiting {settings.waiting})"
        elif mine is not None and queue.of(client) - max(places, 0) >= mine:
            what = f"{queue.of(client)} requests of yours wait already (--waiting-per-client {mine})"
        else:
            return
        seconds = self._tally.seconds_until_place(self._scheduler.running)
        self._tally.refused += 1
        raise EngineBusy(f"{what}: try again in about {seconds:.0f} s", seconds)

    def _check_weights(self) -> None:
        """Keys and values of other weights are of no use; a runtime without a `version` never changes."""
        version = getattr(self.runtime, "version", None)
        if version != self._version:
            self._version = version
            self._pool.forget()


__all__ = ["Engine", "EngineSettings", "Request", "Statistics", "Step", "Ticket"]
