"""Ctrl-C and SIGTERM ask a run to finish its step, save and stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from shizuku.progress import say


class StopRequest:
    """Whether the run was asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Note the signal; a second one of the same kind has its ordinary effect."""
        self.signal = number
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        say(f"{signal.Signals(number).name}: finishing this step, then saving (once more to stop at once)")

    @property
    def asked(self) -> bool:
        """Whether this process was asked to stop."""
        return self.signal is not None

    def raise_again(self) -> None:
        """Stop the program as the signal asked: KeyboardInterrupt, or SystemExit(143) for SIGTERM.

        Where the signal went to another process of the job, it is KeyboardInterrupt.
        """
        if self.signal == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Catch SIGINT and SIGTERM for the `with` block; outside the main thread signals can't be caught."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    earlier = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
