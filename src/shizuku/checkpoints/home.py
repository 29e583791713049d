"""Where pulled models live: `$SHIZUKU_HOME/models/NAME/`, by default under `~/.cache/shizuku`."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shizuku.errors import CheckpointError
from shizuku.progress import warn_once

RECORD = "model.json"
"""Says of a pulled model where it came from; it is written last, so a folder without it is not whole."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """A model that has been pulled."""

    name: str
    """What it is called here."""
    path: Path
    """Its GGUF file, or its directory."""
    record: dict[str, Any]
    """Source, licence, digests and bytes, as `model.json` has them."""

    @property
    def bytes(self) -> int:
        """What it takes on the disk."""
        return int(self.record.get("bytes", 0))


def home() -> Path:
    """The folder of everything that Shizuku keeps between runs: SHIZUKU_HOME, or ~/.cache/shizuku."""
    place = os.environ.get("SHIZUKU_HOME")
    return Path(place).expanduser() if place else Path.home() / ".cache" / "shizuku"


def models_directory() -> Path:
    """The folder of the pulled models."""
    return home() / "models"


def folder_of(name: str) -> Path:
    """The folder of a name, with `--` for `/`; CheckpointError for a name that would lead elsewhere."""
    plain = name.replace("/", "--")
    if not plain or plain.startswith(".") or "\\" in plain or "\0" in plain:
        raise CheckpointError(f"{name!r} is no name of a model")
    return models_directory() / plain


def pulled_model(name: str) -> Pulled | None:
    """The pulled model of that name, or None."""
    return _read(folder_of(name))


def known_sha256(path: Path) -> str | None:
    """The SHA-256 that a pulled file must have; None for any other file."""
    if path.resolve().parent.parent != models_directory().resolve():
        return None
    model = _read(path.parent)
    return None if model is None else model.record["files"].get(path.name, {}).get("sha256")


def pulled_models() -> list[Pulled]:
    """Every pulled model, by name; a damaged one is left out with a warning."""
    if not models_directory().is_dir():
        return []
    found = []
    for folder in sorted(models_directory().iterdir()):
        if folder.name.startswith("."):
            continue
        try:
            model = _read(folder)
        except CheckpointError as error:
            warn_once(str(error))
            continue
        if model is not None:
            found.append(model)
    return found


def _read(folder: Path) -> Pulled | None:
    file = folder / RECORD
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        name, inside = record["name"], record["file"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{file} is damaged ({error!r}): remove {folder} and pull the model again"
        ) from error
    path = folder / inside if inside else folder
    if not path.exists():
        raise CheckpointError(f"{path} is missing, though {file} lists it: remove {folder} and pull it again")
    expected = record.get("files", {}).get(inside, {}).get("bytes")
    if inside and path.stat().st_size != expected:
        raise CheckpointError(
            f"{path} is damaged: it has {path.stat().st_size:,} bytes, expected {expected:,}: "
            f"pull {name} again"
        )
    return Pulled(name, path, record)
