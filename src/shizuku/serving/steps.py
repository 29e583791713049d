"""The steps of one request's sequences, brought from the engine's thread to the event loop."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from shizuku.errors import EngineBusy, EngineError, ShizukuError
from shizuku.inference.engine import Engine
from shizuku.inference.requests import Request, Step
from shizuku.inference.tickets import Ticket
from shizuku.serving.faults import ApiError


class Steps:
    """The steps of several sequences, as they are made; `async for batch in steps` gives what is there.

    What waits here is bounded by the tokens that the request may make, so that a client who reads slowly
    holds nobody up. `close()` stops all that still goes on: call it in `finally`.
    """

    def __init__(self, engine: Engine, requests: Sequence[Request], *, seconds: float) -> None:
        """Begin all; ApiError 429 where there is no room for them, 503 where the engine has ended."""
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._arrived: deque[tuple[int, Step | BaseException]] = deque()
        self._deadline = time.monotonic() + seconds
        self._open: dict[int, Ticket] = {}
        self._tickets: list[Ticket] = []
        self._closed = False
        try:
            for number, request in enumerate(requests):
                ticket = engine.submit(request, on_step=self._taker(number), on_end=self._ender(number))
                self._open[number] = ticket
                self._tickets.append(ticket)
        except BaseException as error:
            self.close()
            if isinstance(error, EngineError):
                raise fault_of(error) from error
            raise

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that did not have to be read again, those of a prompt with several answers once."""
        least: dict[tuple[int, ...], int] = {}
        for ticket in self._tickets:
            prompt = tuple(ticket.request.ids)
            least[prompt] = min(least.get(prompt, ticket.reused_tokens), ticket.reused_tokens)
        return sum(least.values())

    def finish(self, number: int) -> None:
        """The caller has enough of one sequence."""
        ticket = self._open.pop(number, None)
        if ticket is not None:
            ticket.cancel()

    def close(self) -> None:
        """Stop everything that still goes on."""
        self._closed = True
        for number in list(self._open):
            self.finish(number)

    def interrupt(self, error: Exception) -> None:
        """Let whoever reads meet this error next."""
        for number in list(self._open)[:1]:
            self._take(number, error)

    def __aiter__(self) -> "Steps":
        return self

    async def __anext__(self) -> list[tuple[int, Step]]:
        """All steps that have come since the last call, at least one; ends when no sequence goes on.

        When the time is over, what still goes on ends with a "length" step that has no token (-1).
        """
        while not self._arrived:
            if not self._open:
                raise StopAsyncIteration
            left = self._deadline - time.monotonic()
            try:
                await asyncio.wait_for(self._ready.wait(), max(left, 0.001))
            except TimeoutError:
                return self._out_of_time()
            self._ready.clear()
        found = []
        while self._arrived:
            number, step = self._arrived.popleft()
            if number not in self._open:
                continue  # made before the caller's `finish` was heard
            if isinstance(step, BaseException):
                raise fault_of(step)
            if step.finish is not None:
                del self._open[number]
            found.append((number, step))
        return found or await self.__anext__()

    def _out_of_time(self) -> list[tuple[int, Step]]:
        ended = list(self._open)
        self.close()
        return [(number, Step(number, -1, "length")) for number in ended]

    def _taker(self, number: int) -> Callable[[Step], None]:
        def take(step: Step) -> None:
            if not self._closed:
                self._loop.call_soon_threadsafe(self._take, number, step)

        return take

    def _ender(self, number: int) -> Callable[[Ticket], None]:
        """Of an end there is a step as well, but where an error ended it or nothing was to be made."""

        def end(ticket: Ticket) -> None:
            if self._closed:
                return
            if ticket.error is not None:
                self._loop.call_soon_threadsafe(self._take, number, ticket.error)
            elif ticket.request.settings.max_new_tokens == 0 and not ticket.request.prompt_logprobs:
                self._loop.call_soon_threadsafe(self._take, number, Step(ticket.request.index, -1, "length"))

        return end

    def _take(self, number: int, step: Step | BaseException) -> None:
        self._arrived.append((number, step))
        self._ready.set()


def fault_of(error: BaseException) -> BaseException:
    """An error of the engine as the client hears of it; what is no ShizukuError stays a defect of ours."""
    if isinstance(error, EngineBusy):
        return ApiError(
            429,
            f"The server is full: {error}",
            code="rate_limit_exceeded",
            headers={"Retry-After": str(math.ceil(error.seconds))},
        )
    if isinstance(error, EngineError):
        return ApiError(503, f"The model has stopped: {error}", code="engine_stopped")
    if isinstance(error, ApiError) or not isinstance(error, ShizukuError):
        return error
    return ApiError(500, f"The text could not be continued: {error}", code="generation_failed")
