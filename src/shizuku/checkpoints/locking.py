"""Advisory locks between processes; they end with the process that holds them, however it ends.

Systems without `fcntl` (Windows) have no such locks here: nothing is then waited for, and nothing that may
belong to a living process is cleaned up.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shizuku.errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCKS = fcntl is not None
"""Whether this system has such locks."""


@contextmanager
def exclusive(file: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of `file` for a `with` block; `waiting` is called once if another process has it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if fcntl is not None and not try_lock(descriptor):
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


_OURS: set[Path] = set()
"""Places that this process works on by itself."""


@contextmanager
def alone_in(place: Path) -> Iterator[bool]:
    """Keep a place from other processes for a `with` block; False if one of them has it.

    Within a block that this process holds, another one is let through. The lock is a hidden sibling of the
    place, which may be replaced meanwhile, and is removed at the end. CheckpointError where it can't be made.
    """
    place = Path(os.path.realpath(place))
    if fcntl is None or place in _OURS:
        yield True
        return
    file = place.with_name(f".{place.name}.lock")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CheckpointError(
            f"cannot write {place}: {error.strerror or error}. Choose another place with --out"
        ) from error
    try:
        if not try_lock(descriptor) or not _is_at(file, descriptor):
            yield False
            return
        _OURS.add(place)
        try:
            yield True
        finally:
            _OURS.discard(place)
            file.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _is_at(file: Path, descriptor: int) -> bool:
    """Whether an open file still stands at its place, where another may have removed it."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def try_lock(descriptor: int) -> bool:
    """Lock an open file or directory until it is closed; False if another process has it, or no locks are."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(directory: Path) -> bool:
    """Whether a living process holds the lock of `directory`; True where locks can't be asked."""
    if fcntl is None:
        return True
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)
