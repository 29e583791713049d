"""Digests of files on disk: BLAKE2b with 256 bits, or SHA-256 where others have named theirs in it."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from shizuku.errors import CheckpointError
from shizuku.progress import bar

PIECE = 4 << 20
LARGE = 1 << 30
"""From this many bytes on, checking shows its progress."""


def file_digest(path: Path, algorithm: str = "blake2b") -> str:
    """The digest of a file in hex, read in pieces; `algorithm` is blake2b (256 bits) or sha256."""
    size = path.stat().st_size
    if size < LARGE:
        return _digest(path, algorithm, lambda _: None)
    with bar(f"checking {path.name}", size / 1e6, "MB") as progress:
        return _digest(path, algorithm, lambda done: progress.update(completed=done / 1e6))


def digest_files(directory: Path, files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Bytes and digest of each file, by its path inside `directory` with forward slashes."""
    return {
        path.relative_to(directory).as_posix(): {
            "bytes": path.stat().st_size,
            "blake2b": file_digest(path),
        }
        for path in sorted(files)
    }


def check_files(
    directory: Path,
    files: Mapping[str, Mapping[str, Any]],
    digest: Callable[[Path], str] = file_digest,
) -> None:
    """Compare files with what `digest_files` said of them; CheckpointError names the first that differs.

    `digest` is how a file's digest is had.
    """
    for name, expected in files.items():
        path = directory / name
        if not path.resolve().is_relative_to(directory.resolve()):
            raise CheckpointError(f"{directory / 'run.json'} names a file outside its directory: {name}")
        if not path.is_file():
            raise CheckpointError(f"{path} is missing, though run.json lists it: the checkpoint is damaged")
        seen = path.stat().st_size
        if seen != expected["bytes"]:
            raise CheckpointError(
                f"{path} is damaged: it has {seen:,} bytes, expected {expected['bytes']:,} by run.json. "
                "Fetch or save the checkpoint again"
            )
        found = digest(path)
        if found != expected["blake2b"]:
            raise CheckpointError(
                f"{path} is damaged or was changed: its digest is {found}, expected "
                f"{expected['blake2b']} by run.json. Fetch or save the checkpoint again; if you changed it "
                'on purpose, remove its entry under "files" in run.json'
            )


def tree_digest(files: Mapping[str, Mapping[str, Any]]) -> str:
    """One digest for several files, from their names and digests."""
    plain = json.dumps(sorted((name, entry["blake2b"]) for name, entry in files.items()))
    return hashlib.blake2b(plain.encode(), digest_size=32).hexdigest()


def _digest(path: Path, algorithm: str, progress: Any) -> str:
    digest = hashlib.sha256() if algorithm == "sha256" else hashlib.blake2b(digest_size=32)
    piece = memoryview(bytearray(PIECE))
    done = 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(piece):
            digest.update(piece[:count])
            done += count
            progress(done)
    return digest.hexdigest()
