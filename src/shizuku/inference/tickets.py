"""What the caller holds of a request: its steps as they are made, and the way to cancel it."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

from shizuku.errors import EngineError
from shizuku.inference.requests import Finish, Request, Step

OnStep = Callable[[Step], None]
OnEnd = Callable[["Ticket"], None]


@runtime_checkable
class Driver(Protocol):
    """What a ticket needs of its engine."""

    @property
    def started(self) -> bool:
        """Whether a thread of its own computes."""

    def step(self) -> bool:
        """Compute one step; whether there was anything to do."""

    def cancel(self, ticket: "Ticket") -> None:
        """End a request."""


class Ticket(Iterator[Step]):
    """The steps of one request. Iterate over it, or give `submit` the callables that get them.

    A request ends with one step whose `finish` says why, or with an error, which iterating raises. Without
    new tokens to make and without `prompt_logprobs` there are no steps at all.
    """

    def __init__(
        self, engine: Driver, request: Request, on_step: OnStep | None = None, on_end: OnEnd | None = None
    ) -> None:
        """Made by `Engine.submit`."""
        self.request = request
        self.finish: Finish | None = None
        """Why it ended; None while it goes on, or where an error ended it."""
        self.error: Exception | None = None
        """What ended it, where that was no regular end."""
        self.reused_tokens = 0
        """Tokens of the prompt that were not read again, as the cache held them."""
        self._engine, self._on_step, self._on_end = engine, on_step, on_end
        self._steps: deque[Step] = deque()
        self._changed = threading.Condition()
        self._done = False

    @property
    def done(self) -> bool:
        """Whether no further steps are made; some may not have been taken yet."""
        return self._done

    def __next__(self) -> Step:
        """The next step, as soon as it is there; computes it where the engine has no thread.

        Raises EngineError where the engine broke or was closed, and what a processor raised.
        """
        while True:
            with self._changed:
                if self._steps:
                    return self._steps.popleft()
                if self._done:
                    if self.error is not None:
                        raise self.error
                    raise StopIteration
                if self._engine.started:
                    self._changed.wait()
                    continue
            computed = self._engine.step()
            if not (computed or self._steps or self._done or self._engine.started):
                raise EngineError("the engine has nothing to do, but this request has not ended")

    def ready(self) -> list[Step]:
        """The steps that are there by now, without waiting."""
        with self._changed:
            steps = list(self._steps)
            self._steps.clear()
        return steps

    def wait(self) -> None:
        """Come back as soon as there is a step, or the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._steps or self._done)

    def cancel(self) -> None:
        """Make no further tokens; what the request held is free at once, or after the step that is computed.

        The last step says `finish` "cancelled". After the end it does nothing.
        """
        self._engine.cancel(self)

    # ---- for the engine

    def put(self, step: Step) -> None:
        """One more step; an error of the callable is the caller's."""
        if self._on_step is not None:
            self._on_step(step)
            return
        with self._changed:
            self._steps.append(step)
            self._changed.notify_all()

    def end(self, finish: Finish | None, error: Exception | None = None) -> None:
        """No more steps."""
        with self._changed:
            self.finish, self.error, self._done = finish, error, True
            self._changed.notify_all()
        if self._on_end is not None:
            self._on_end(self)
