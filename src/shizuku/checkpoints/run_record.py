"""The run record (`run.json`): how a checkpoint came to be, in plain JSON."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shizuku.checkpoints.checked import known_digest
from shizuku.checkpoints.digests import tree_digest
from shizuku.checkpoints.huggingface import read_json
from shizuku.checkpoints.kinds import ADAPTER_CONFIG, is_adapter
from shizuku.checkpoints.kinds import RUN_FILE as RUN_FILE


def run_record(
    *,
    config: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    parent: str | Path | None = None,
    parent_name: str | None = None,
) -> dict[str, Any]:
    """What `run.json` says of a run: resolved config, digests of its data, metrics so far, its parent.

    `parent` is the checkpoint that training began with: its name and digest are kept. The version of Shizuku,
    the time (UTC), and the git revision of the current directory, where there is one, are added.
    """
    import datetime
    from importlib.metadata import version

    return {
        "shizuku": version("shizuku"),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "git": git_revision(),
        "config": dict(config or {}),
        "data": dict(data or {}),
        "metrics": dict(metrics or {}),
        "parent": None
        if parent is None
        else {"name": parent_name or str(parent), "digest": checkpoint_digest(Path(parent))},
    }


def git_revision() -> str | None:
    """The git revision of the current directory, with `-dirty` if files were changed; None outside of git."""
    import subprocess

    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def checkpoint_digest(path: Path) -> str:
    """What names a model exactly, in hex: of a GGUF file its digest, of a directory that of its config and
    weights, whatever else stands there; an adapter's counts in its base's, where that is known.

    A large file that has been digested before is read again only if it has changed.
    """
    if path.is_file():
        return known_digest(path)
    run = read_json(path / RUN_FILE) if (path / RUN_FILE).is_file() else {}
    files = [path / (ADAPTER_CONFIG if is_adapter(path) else "config.json"), *path.glob("*.safetensors")]
    listed: dict[str, Any] = run.get("files") or {}
    if not all(file.name in listed for file in files):
        listed = {file.name: {"blake2b": known_digest(file)} for file in files}
    digests = {file.name: listed[file.name] for file in files}
    base = (run.get("base") or {}).get("digest") if is_adapter(path) else None
    return tree_digest({**digests, **({"base": {"blake2b": base}} if base else {})})


def json_text(value: Mapping[str, Any]) -> str:
    """Indented JSON; numbers that JSON has no word for (NaN, infinities) become their names as strings."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, Path) else value
