"""`shizuku rm`: remove a pulled model."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from shizuku.config import VerbConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VerbConfig):
    """Remove a pulled model from Shizuku's home folder; anything else on the disk is refused."""

    name: tyro.conf.Positional[str]
    """Name of the pulled model, as `shizuku list` shows it."""
    yes: Annotated[bool, tyro.conf.arg(aliases=["-y"])] = False
    """Don't ask first."""


def run(config: Config) -> dict[str, object]:
    """Ask, remove; name, path, bytes freed, and whether it was removed."""
    from shizuku.checkpoints.fetch import remove
    from shizuku.checkpoints.memory import readable

    folder, size = find(config.name)
    removed = config.yes or _asked(f"remove {folder} ({readable(size)})?")
    if removed:
        remove(folder)
    return {"name": config.name, "path": str(folder), "bytes": size if removed else 0, "removed": removed}


def find(name: str) -> tuple[Path, int]:
    """The folder of a pulled model and its bytes; CheckpointError for anything else."""
    from shizuku.checkpoints.found import find_model
    from shizuku.checkpoints.home import folder_of, models_directory, pulled_models
    from shizuku.checkpoints.near import near_names
    from shizuku.errors import CheckpointError

    folder = Path(name) if Path(name).is_absolute() else folder_of(name)
    # A damaged model can be removed too, so its record is not asked.
    if folder.is_dir() and not folder.is_symlink() and folder.parent == models_directory():
        return folder, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    found = find_model(name)
    if found is not None:
        raise CheckpointError(
            f"{name} belongs to {found.source} and is not removed here: remove it there, "
            f"or delete {found.path}"
        )
    if Path(name).exists():
        raise CheckpointError(
            f"{name} is a path; only pulled models, under {models_directory()}, are removed here: "
            "delete it yourself"
        )
    names = [model.name for model in pulled_models()]
    raise CheckpointError(
        f"no pulled model is called {name!r}{near_names(name, names)} "
        f"Pulled are: {', '.join(names) or 'none'}"
    )


def show(result: dict[str, object]) -> None:
    """What happened."""
    print(f"removed {result['path']}" if result["removed"] else "nothing was removed")


def _asked(question: str) -> bool:
    from shizuku.errors import ConfigError

    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nobody is there to answer: add --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
