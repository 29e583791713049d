"""Reading what another process may replace at any moment: never half of one save and half of the next.

Also what is read beside the weights, with torch or without: the run record, the settings of generation, the
tokenizer.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from shizuku.checkpoints.bases import base_of
from shizuku.checkpoints.checked import known_digest
from shizuku.checkpoints.digests import check_files
from shizuku.checkpoints.gguf_tensors import GGUFFile
from shizuku.checkpoints.home import known_sha256
from shizuku.checkpoints.huggingface import read_json
from shizuku.checkpoints.kinds import kind_of
from shizuku.checkpoints.replacing import recover
from shizuku.checkpoints.run_record import RUN_FILE
from shizuku.errors import CheckpointError
from shizuku.text.gguf_vocabulary import load_gguf_tokenizer, tokenizer_from_metadata
from shizuku.text.tokenizer import Tokenizer

T = TypeVar("T")

STATE = "state"
"""The folder with what training needs to go on; it is checked by who reads it."""


def undisturbed(path: Path, load: Callable[[], T]) -> T:
    """Load again if another process put a new checkpoint in place meanwhile: never half of each."""
    for _ in range(50):
        recover(path)
        before = _identity(path)
        try:
            loaded = load()
        except Exception:
            # Any error may come of files that went away between two renames: it is told on still ground.
            if not recover(path) and _identity(path) == before:
                raise
            continue
        if _identity(path) == before:
            return loaded
    raise CheckpointError(f"{path} is being replaced again and again by another process: load it later")


def _identity(path: Path) -> tuple[int, ...]:
    """What tells one save of a directory from the next; it changes also when one is moved away and back."""
    numbers: list[int] = []
    for place in (path, path / RUN_FILE):
        try:
            seen = place.stat()
        except OSError:
            numbers += (0, 0)
        else:
            numbers += (seen.st_ino, seen.st_ctime_ns)
    return tuple(numbers)


def load_run(path: str | Path) -> dict[str, Any]:
    """The run record of a checkpoint; empty for models from elsewhere. CheckpointError if it is damaged."""
    path = Path(path)
    recover(path)
    return read_json(path / RUN_FILE) if (path / RUN_FILE).is_file() else {}


def check_listed(path: Path, run: Mapping[str, Any]) -> None:
    """Compare a directory with the digests in its run record, but for `state/`; CheckpointError as
    `check_files`. A large file that has been digested before is read again only if it has changed.
    """
    files = run.get("files") or {}
    listed = {name: entry for name, entry in files.items() if not name.startswith(f"{STATE}/")}
    check_files(path, listed, digest=known_digest)


def check_pulled(path: Path) -> None:
    """Compare the digest of a pulled file with the known one; CheckpointError if it differs.

    A file that has been digested before is read again only if it has changed.
    """
    expected = known_sha256(path)
    if expected is None:
        return
    seen = known_digest(path, "sha256")
    if seen != expected:
        raise CheckpointError(
            f"{path} is damaged or was changed: its digest is {seen}, expected {expected}: remove "
            f"{path.parent} and pull it again"
        )


def load_generation(path: Path) -> dict[str, Any]:
    """What generation_config.json of a directory says; empty where there is none."""
    file = path / "generation_config.json"
    return read_json(file) if file.is_file() else {}


def load_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer of a checkpoint, of an adapter without one that of its base; TokenizerError if it has
    none or a broken one.
    """
    path = Path(path)
    kind = kind_of(path, weights=False)
    if kind == "gguf":
        return load_gguf_tokenizer(path)
    if kind == "adapter" and tokenizer_of_directory(path) is None:
        return load_tokenizer(base_of(path))
    return Tokenizer.load(path)


def needed_tokenizer(tokenizer: Tokenizer | None, path: Path) -> Tokenizer:
    """The tokenizer of the checkpoint at `path`; CheckpointError where it has none."""
    if tokenizer is None:
        raise CheckpointError(f"{path} has no tokenizer: put its tokenizer.json there")
    return tokenizer


def tokenizer_of_directory(path: Path) -> Tokenizer | None:
    """The tokenizer of a directory, or None where it has none; TokenizerError for a broken one."""
    names = ("tokenizer.json", "vocab.json", "encoder.json", "vocab.txt")
    return Tokenizer.load(path) if any((path / name).is_file() for name in names) else None


def tokenizer_of_gguf(path: Path, metadata: Mapping[str, Any] | None = None) -> Tokenizer | None:
    """The tokenizer of a GGUF file, or None where it has none; TokenizerError for a broken one.

    `metadata` is its header, if that has been read already.
    """
    # Other tools name these files without an ending, so it is not asked what the path ends in.
    metadata = GGUFFile(path).metadata if metadata is None else metadata
    if "tokenizer.ggml.model" not in metadata:
        return None
    return tokenizer_from_metadata(metadata, source=str(path))
