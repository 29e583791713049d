"""The steps of one request's sequences, brought from the driver's thread to the event loop."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from shizuku.errors import ShizukuError
from shizuku.inference.requests import Request, Step
from shizuku.serving.driver import Driver, FullError, Handle, OnStep
from shizuku.serving.faults import ApiError

RETRY_AFTER_SECONDS = 1


class _Nothing:
    """A sequence of which nothing is wanted: the engine need not hear of it."""

    cached_tokens = 0

    def cancel(self) -> None:
        pass


class Steps:
    """The steps of several sequences, as they are made; `async for batch in steps` gives what is there.

    What waits here is bounded by the tokens that the request may make, so that a client who reads slowly
    holds nobody up. `close()` stops all that still goes on: call it in `finally`.
    """

    def __init__(self, driver: Driver, requests: Sequence[Request], *, seconds: float) -> None:
        """Begin all; ApiError 429 where there is no room for them."""
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._arrived: deque[tuple[int, Step | BaseException]] = deque()
        self._deadline = time.monotonic() + seconds
        self._open: dict[int, Handle] = {}
        self._closed = False
        self._cached: dict[int, Handle] = {}
        try:
            for number, request in enumerate(requests):
                if request.settings.max_new_tokens == 0 and not request.prompt_logprobs:
                    self._open[number] = _Nothing()
                    self._take(number, Step(request.index, -1, "length"))
                else:
                    self._open[number] = driver.submit(request, self._receiver(number))
        except FullError as error:
            self.close()
            raise full(str(error)) from error
        except BaseException:
            self.close()
            raise
        self._cached = dict(self._open)

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that did not have to be read again, over all sequences."""
        return sum(handle.cached_tokens for handle in self._cached.values())

    def finish(self, number: int) -> None:
        """The caller has enough of one sequence."""
        handle = self._open.pop(number, None)
        if handle is not None:
            handle.cancel()

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

    def _receiver(self, number: int) -> OnStep:
        def receive(step: Step | BaseException) -> None:
            if not self._closed:
                self._loop.call_soon_threadsafe(self._take, number, step)

        return receive

    def _take(self, number: int, step: Step | BaseException) -> None:
        self._arrived.append((number, step))
        self._ready.set()


def fault_of(error: BaseException) -> BaseException:
    """An error that ended a sequence, as the client hears of it; what is no ShizukuError stays a defect."""
    if isinstance(error, ApiError) or not isinstance(error, ShizukuError):
        return error
    return ApiError(500, f"The text could not be continued: {error}", code="generation_failed")


def full(message: str) -> ApiError:
    """The answer to a request for which there is no room."""
    return ApiError(
        429,
        f"The server is full ({message}): try again in a moment.",
        code="rate_limit_exceeded",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )
