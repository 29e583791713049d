"""The base that an adapter is for: where it is, and whether it is the one that the adapter was trained on.

`base` in an adapter's run.json has the base's name or path, its path from the adapter's directory, and its
digest; PEFT's own directories say `base_model_name_or_path` alone. Nothing here needs torch.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shizuku.checkpoints.huggingface import QUANTIZED_MODEL_TYPE, read_json
from shizuku.checkpoints.kinds import ADAPTER_CONFIG, is_adapter
from shizuku.checkpoints.names import resolve
from shizuku.checkpoints.run_record import RUN_FILE, checkpoint_digest
from shizuku.errors import CheckpointError, FetchError


def base_of(adapter: Path) -> Path:
    """The checkpoint or GGUF file that an adapter's directory names as its base; nothing is pulled for it.

    CheckpointError if it isn't here, or is another than the one that the adapter was trained on.
    """
    stated = stated_base(adapter)
    digest, others = stated.get("digest"), []
    for place in dict.fromkeys(_places(adapter, stated)):
        if digest is None or checkpoint_digest(place) == digest:
            return place
        others.append(place)
    if others:
        raise CheckpointError(
            f"{others[0]} is not the base that the adapter in {adapter} was trained on: its digest is "
            f"{checkpoint_digest(others[0])}, expected {digest}. Put the base back, or merge into this one "
            f"and see what that changes: shizuku merge {adapter} --base {others[0]} --another-base --out …"
        )
    raise CheckpointError(
        f"the base of the adapter in {adapter} is not here: it was {stated.get('name') or 'not stated'}. "
        f"Put it back, or pull it, or name it: shizuku merge {adapter} --base MODEL --out …"
    )


def stated_base(adapter: Path) -> dict[str, Any]:
    """What an adapter's directory says of its base: `name` (or path), `path` from there, `digest`."""
    run = read_json(adapter / RUN_FILE) if (adapter / RUN_FILE).is_file() else {}
    foreign = read_json(adapter / ADAPTER_CONFIG).get("base_model_name_or_path")
    stated = run.get("base")
    return dict(stated) if isinstance(stated, Mapping) else {"name": foreign}


def describe_base(base: str | None, digest: str | None, directory: Path) -> dict[str, Any]:
    """What run.json says of an adapter's base, for an adapter that is to stand in `directory`."""
    there = base is not None and Path(base).exists()
    path = os.path.relpath(os.path.realpath(str(base)), directory) if there else None
    return {"name": base, "path": path, "digest": digest}


def float_origin(base: str | None) -> str | None:
    """The name of the float model that a packed base was made of, as PEFT opens no packed one."""
    if base is None or not (Path(base) / RUN_FILE).is_file() or is_adapter(Path(base)):
        return base
    if read_json(Path(base) / "config.json").get("model_type") != QUANTIZED_MODEL_TYPE:
        return base
    parent = read_json(Path(base) / RUN_FILE).get("parent") or {}
    return str(parent.get("name") or base)


def _places(adapter: Path, stated: Mapping[str, Any]) -> Iterator[Path]:
    path, name = stated.get("path"), stated.get("name")
    here = Path(os.path.realpath(adapter))
    beside = path and Path(os.path.normpath(here / str(path)))
    for meant in (beside, name, name and here / str(name)):
        if not meant:
            continue
        try:
            yield resolve(meant, allow_pull=False)
        except (CheckpointError, FetchError):
            continue  # the next way of finding it; who asked hears of it if there is none
