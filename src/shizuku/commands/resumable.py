"""What is said where a run that can go on is broken off."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def resumable(command: str, out: Path) -> Iterator[None]:
    """Where Ctrl-C ends what is inside, and a state was saved in `out`: say how `command` goes on from it."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        from shizuku.progress import say
        from shizuku.training.distribution import program
        from shizuku.training.resume import has_state

        if has_state(out):
            say(f"go on with: {program()} {command} --config {out / 'run.json'} --resume")
        raise
