"""Digests that have been worked out before: a large file is read again only once it has changed.

`$SHIZUKU_HOME/checked.json` notes the digest of a file beside what tells it from any other: its place on the
disk, its size and its times. Writing to a file sets its time of change, which no program can set back; what
the disk itself loses unseen comes out when the file is next digested in full.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from shizuku.checkpoints.digests import file_digest
from shizuku.checkpoints.home import home

SMALL = 1_000_000
"""Files of fewer bytes are read every time."""
SETTLED = 2.0
"""Seconds since a file's last change from which on a next one is sure to show in its times."""
MOST = 100
"""Files that are remembered, those digested last."""


def known_digest(path: Path, algorithm: str = "blake2b") -> str:
    """The digest of a file, as `file_digest` gives it, from the notes if the file hasn't changed since."""
    before = _seen(path)
    if before["bytes"] < SMALL:
        return file_digest(path, algorithm)
    name, notes = str(path.resolve()), _notes()
    noted = notes.get(name)
    if isinstance(noted, dict) and noted.get("seen") == before and isinstance(noted.get(algorithm), str):
        return str(noted[algorithm])
    digest = file_digest(path, algorithm)
    if _seen(path) == before and time.time() - before["changed"] / 1e9 >= SETTLED:
        notes.pop(name, None)
        _write({**notes, name: {"seen": before, algorithm: digest}})
    return digest


def _seen(path: Path) -> dict[str, int]:
    state = path.stat()
    return {
        "device": state.st_dev,
        "place": state.st_ino,
        "bytes": state.st_size,
        "written": state.st_mtime_ns,
        "changed": state.st_ctime_ns,
    }


def _file() -> Path:
    return home() / "checked.json"


def _notes() -> dict[str, Any]:
    try:
        notes = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # they are only notes: what they don't say is worked out
    return notes if isinstance(notes, dict) else {}


def _write(notes: dict[str, Any]) -> None:
    made = _file().with_name(f".checked.json.{os.getpid()}")
    with suppress(OSError):  # a home that cannot be written: the next process reads the file again
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(json.dumps(dict(list(notes.items())[-MOST:])), encoding="utf-8")
        made.replace(_file())
