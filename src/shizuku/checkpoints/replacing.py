"""A directory that is replaced as a whole: whoever looks finds the old one or the new one, never half.

The new one grows in a hidden sibling, `.NAME.tmp-TOKEN`, is flushed to the disk, and takes the place of the
old one in one step of the kernel (`renameat2` with `RENAME_EXCHANGE`). Where that does not exist, the old one
steps aside as `.NAME.old-TOKEN` first; if the process dies between the two renames, `recover` puts it back.
No step needs a lock: a process that finds the place taken again simply begins the step anew. Locks only tell
a workspace in use from one that a dead process left.
"""

import errno
import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shizuku.checkpoints.locking import LOCKS, is_locked, try_lock
from shizuku.errors import CheckpointError
from shizuku.progress import warn_once

RENAME_EXCHANGE = 2
AT_FDCWD = -100
MOST_STRANGERS = 1000
"""More files than this in a directory that holds no checkpoint: it was hardly meant to be replaced."""


@contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """A fresh hidden sibling of `target`, locked for the `with` block and removed at its end if still there.

    Workspaces for the same target that dead processes left are removed first.
    """
    remove_left_behind(target)
    made, descriptor = _make_and_lock(target)
    try:
        yield made
    finally:
        if descriptor is not None:
            os.close(descriptor)
        shutil.rmtree(made, ignore_errors=True)


def _make_and_lock(target: Path) -> tuple[Path, int | None]:
    while True:
        made = target.with_name(f".{target.name}.tmp-{time.time_ns():x}.{os.urandom(4).hex()}")
        made.mkdir()
        if not LOCKS:
            return made, None
        # Another process's clean-up may take the directory before it is locked; then the next is made.
        try:
            descriptor = os.open(made, os.O_RDONLY)
        except FileNotFoundError:
            continue
        if try_lock(descriptor) and made.exists():
            return made, descriptor
        os.close(descriptor)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A path to write a file to, which becomes `target` when the `with` block ends without an error.

    CheckpointError if the place cannot be written.
    """
    target = Path(os.path.realpath(target))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with workspace(target) as made:
            yield made / target.name
            _flush(made)
            (made / target.name).replace(target)
        _flush_directory(target.parent)
    except OSError as error:
        raise CheckpointError(
            f"cannot write {target}: {error.strerror or error}. Choose another place with --out"
        ) from error


def put_in_place(made: Path, target: Path) -> None:
    """Let the finished workspace `made` be `target`; what stood there before is deleted afterwards."""
    _flush(made)
    step = 0
    while True:
        if target.is_dir():
            if _exchange(made, target):
                break
            step += 1
            _move_aside(target, _aside(target, made, step))
        try:
            # An empty directory in the way is replaced by the rename itself.
            made.rename(target)
            break
        except OSError as error:
            if not target.is_dir() or error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES):
                raise
    _flush_directory(target.parent)


def replaced(made: Path, target: Path) -> Path | None:
    """Where `put_in_place` has left the directory that stood at `target` before, until it is removed."""
    places = [made, *sorted(_siblings(target, "old"), reverse=True)]
    return next((place for place in places if _token(place) == _token(made) and place.is_dir()), None)


def carry_over(old: Path, new: Path, but: Collection[str]) -> None:
    """Give `new` the files of `old` that it lacks, except the top-level names in `but`.

    They are hard links, so that a log that is being written goes on in the new place. If another save takes
    `old` away meanwhile, it carries on what is left.
    """
    with suppress(FileNotFoundError):
        for entry in sorted(old.iterdir()):
            if entry.name not in but:
                _link(entry, new / entry.name)


def recover(target: Path) -> bool:
    """If a save died between its two renames and left nothing at `target`, put the old directory back."""
    if target.exists() or not target.name:
        return False
    asides = sorted(_siblings(target, "old"))
    if not asides:
        return False
    try:
        asides[-1].rename(target)
    except OSError:
        # A living process was quicker, and its directory stands there; else there is nothing to recover.
        return target.exists()
    return True


def remove_left_behind(target: Path) -> None:
    """Remove the workspaces of `target` that no living process holds, and old directories once replaced."""
    recover(target)
    for left in _siblings(target, "tmp"):
        if not is_locked(left):
            shutil.rmtree(left, ignore_errors=True)
    for left in _siblings(target, "old"):
        owner = target.with_name(f".{target.name}.tmp-{_token(left)}")
        if target.exists() and not (owner.exists() and is_locked(owner)):
            shutil.rmtree(left, ignore_errors=True)


def check_replaceable(target: Path, known: Collection[str]) -> None:
    """Refuse targets that were hardly meant: files, the current directory, folders full of other things."""
    if target.exists() and not target.is_dir():
        raise CheckpointError(f"{target} is a file; a checkpoint is a directory: give another --out")
    if not target.is_dir():
        return
    if Path.cwd().resolve().is_relative_to(target):
        raise CheckpointError(
            f"{target} is the current directory, or above it, and would be replaced as a whole: "
            "give a new directory below it as --out"
        )
    if not any((target / name).exists() for name in known):
        seen = 0
        for _, _, files in os.walk(target):
            seen += len(files)
            if seen > MOST_STRANGERS:
                raise CheckpointError(
                    f"{target} holds no checkpoint, but more than {MOST_STRANGERS} other files: "
                    "give an empty or a new directory as --out"
                )


def _aside(target: Path, made: Path, step: int) -> Path:
    return target.with_name(f".{target.name}.old-{_token(made)}-{step}")


def _token(place: Path) -> str:
    """What names one save, in `.NAME.tmp-TOKEN` and `.NAME.old-TOKEN-STEP`."""
    return place.name.rpartition(".tmp-")[2].rpartition(".old-")[2].partition("-")[0]


def _siblings(target: Path, kind: str) -> list[Path]:
    prefix = f".{target.name}.{kind}-"
    try:
        return [entry for entry in target.parent.iterdir() if entry.name.startswith(prefix)]
    except OSError:
        return []  # no such parent, so nothing left in it


def _exchange(made: Path, target: Path) -> bool:
    """Swap two directories in one step; False where the kernel or the file system can't."""
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if rename is None:
        return False
    if rename(AT_FDCWD, os.fsencode(made), AT_FDCWD, os.fsencode(target), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOENT, errno.EPERM):
        return False  # not on this kernel or file system, or the target has just gone
    raise OSError(code, os.strerror(code), str(target))


def _move_aside(target: Path, aside: Path) -> None:
    try:
        target.rename(aside)
    except FileNotFoundError:
        return  # another process has just moved it


def _link(source: Path, destination: Path) -> None:
    if source.is_symlink():
        if not os.path.lexists(destination):
            destination.symlink_to(source.readlink())
    elif source.is_dir():
        destination.mkdir(exist_ok=True)
        for entry in sorted(source.iterdir()):
            _link(entry, destination / entry.name)
    elif source.is_file() and not destination.exists():
        try:
            os.link(source, destination)
        except (FileExistsError, FileNotFoundError):
            return  # another save was quicker
        except OSError as error:
            warn_once(f"{source} is copied, as this file system has no hard links ({error.strerror})")
            shutil.copy2(source, destination)


def _flush(directory: Path) -> None:
    for folder, _, files in os.walk(directory):
        for name in files:
            path = Path(folder, name)
            if path.is_symlink():
                continue
            descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        _flush_directory(Path(folder))


def _flush_directory(directory: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems have nothing to flush for a directory
            raise
    finally:
        os.close(descriptor)
