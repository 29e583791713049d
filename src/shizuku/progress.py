"""Progress and notes for people, all on stderr, so that stdout stays for results.

`rich` is imported when the first of them is shown.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

T = TypeVar("T")

_warned: set[str] = set()
_hushed: list[bool] = []
"""Whether each of the `hushed` blocks that are open asks for silence."""


@contextmanager
def hushed(quiet: bool = True) -> Iterator[None]:
    """Show no progress and no notes inside the `with` block, as another process of the job shows them."""
    _hushed.append(quiet)
    try:
        yield
    finally:
        _hushed.pop()


def say(text: str) -> None:
    """Print one line of information on stderr."""
    if any(_hushed):
        return
    _notes().print(text, markup=False)


def warn_once(text: str) -> None:
    """Print a warning on stderr, once for each text in the life of the process."""
    if text not in _warned and not any(_hushed):
        _warned.add(text)
        _notes().print(f"warning: {text}", style="yellow", markup=False)


def _notes() -> "Console":
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


class Bar:
    """A running progress bar: drawn live on a terminal, a plain line now and then elsewhere."""

    LINE_SECONDS = 15.0

    def __init__(self, progress: "Progress", description: str, total: float | None) -> None:
        self._progress, self._description, self._total = progress, description, total
        self._task = progress.add_task(description, total=total, note="")
        self._live, self._quiet = progress.console.is_terminal, any(_hushed)
        self._done, self._note = 0.0, ""
        self._last_line = time.monotonic()

    def advance(self, n: float = 1) -> None:
        """Count `n` more units as done."""
        self.update(completed=self._done + n)

    def update(
        self, *, completed: float | None = None, total: float | None = None, note: str | None = None
    ) -> None:
        """Set the units done so far, the total, or the note that stands behind the bar."""
        self._done = self._done if completed is None else completed
        self._total = self._total if total is None else total
        self._note = self._note if note is None else note
        if self._live:
            self._progress.update(self._task, completed=self._done, total=self._total, note=self._note)
        elif not self._quiet and time.monotonic() - self._last_line >= self.LINE_SECONDS:
            self._last_line = time.monotonic()
            of = f"/{self._total:,.0f}" if self._total else ""
            print(
                f"{self._description}: {self._done:,.0f}{of} {self._note}".rstrip(),
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def bar(description: str, total: float | None = None, unit: str = "") -> Iterator[Bar]:
    """A progress bar on stderr for the length of a `with` block; it is cleared when the block ends."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn()]
    columns += [
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ]
    console = Console(stderr=True)
    shown = console.is_terminal and not any(_hushed)
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        yield Bar(progress, description, total)


def track(items: Iterable[T], description: str, total: float | None = None) -> Iterator[T]:
    """Yield `items`, with a progress bar on stderr."""
    if total is None:
        size = getattr(items, "__len__", None)
        total = size() if size else None
    with bar(description, total) as progress:
        for item in items:
            yield item
            progress.advance()


def counted(number: int, what: str) -> str:
    """A number and what it counts, in the plural unless it is one: "1 text", "2,000 texts"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
