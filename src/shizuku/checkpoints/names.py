"""From what a person types to a checkpoint: a path, a pulled or found model, a name that can be pulled.

What looks elsewhere than at a path and among the pulled models is imported when it comes to that.
"""

import os
import re
from pathlib import Path

from shizuku.checkpoints.home import pulled_model, pulled_models
from shizuku.checkpoints.kinds import EXPECTED, kind_of, only_gguf
from shizuku.checkpoints.replacing import recover
from shizuku.errors import CheckpointError


def resolve(name_or_path: str | Path, *, allow_pull: bool = True) -> Path:
    """The checkpoint directory or GGUF file that is meant.

    In this order: an existing path; a pulled model; one of another tool (`ollama:llama3.2:1b`); a name of the
    catalogue, which is pulled after saying what and how large; a Hugging Face id (`org/name`). Anything else,
    and a path that holds no checkpoint, raises CheckpointError that says what it holds or which names are
    near; pulling raises FetchError.
    """
    path = Path(name_or_path).expanduser()
    recover(path)
    if path.exists():
        path = only_gguf(path) or path
        kind_of(path)
        return path
    name = str(name_or_path)
    if _is_path(name_or_path):
        raise CheckpointError(f"{path} does not exist; {EXPECTED}, or a name (shizuku list shows them)")
    if re.fullmatch(r"[^/\\\0.][^\\\0]*", name):
        pulled = pulled_model(name)
        if pulled is not None:
            return pulled.path
    return _elsewhere(name, allow_pull)


def _elsewhere(name: str, allow_pull: bool) -> Path:
    """A model of another tool, or one that can be pulled."""
    from shizuku.checkpoints.catalogue import CATALOGUE
    from shizuku.checkpoints.fetch import announce, pull
    from shizuku.checkpoints.found import find_model, find_models
    from shizuku.checkpoints.hub import HUB_ID
    from shizuku.checkpoints.near import near_names

    found = find_model(name)
    if found is not None:
        return found.path
    if name in CATALOGUE:
        if not allow_pull:
            raise CheckpointError(f"{name} is not here yet: shizuku pull {name}")
        announce(name)
        return pull(name)
    if re.fullmatch(HUB_ID, name):
        if not allow_pull:
            raise CheckpointError(
                f"{name} is no path here, and as a Hugging Face id it is not here yet: shizuku pull {name}"
            )
        return pull(name)
    known = [*CATALOGUE, *(m.name for m in pulled_models()), *(m.name for m in find_models())]
    raise CheckpointError(
        f"no model is called {name!r}, and there is no such path{near_names(name, known)} "
        "Give a checkpoint directory, a .gguf file, a name that `shizuku list` shows, or a Hugging Face id "
        "(org/name)"
    )


def _is_path(given: str | Path) -> bool:
    """Whether only a path can be meant, as against a name or an id: `runs/first` where there are `runs`."""
    text = str(given)
    return (
        isinstance(given, Path)
        or text.startswith((".", "~", os.sep))
        or ("/" in text and Path(text).parent.is_dir())
    )
