"""An adapter's directory read as arrays, ours or PEFT's. Nothing here needs torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.weights import AdapterWeights
from shizuku.checkpoints.bases import stated_base
from shizuku.checkpoints.huggingface import headed_text, read_json
from shizuku.checkpoints.kinds import ADAPTER_CONFIG, ADAPTER_WEIGHTS, is_adapter, kind_of
from shizuku.checkpoints.peft import PREFIX, from_peft
from shizuku.checkpoints.run_record import RUN_FILE, checkpoint_digest
from shizuku.checkpoints.safetensors_file import SafetensorsFile
from shizuku.checkpoints.stored import stored_in_safetensors
from shizuku.checkpoints.undisturbed import check_listed, load_run
from shizuku.config import from_dict
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.decoder_config import DecoderConfig
from shizuku.quantization.packed_numbers import as_float32

HEAD = f"{PREFIX}score.weight"
"""The tensor of a head that was trained beside an adapter."""


def read_adapter(directory: str | Path, config: DecoderConfig, *, verify: bool = True) -> AdapterWeights:
    """The adapter in a directory of ours or of PEFT's, for a base of this config.

    CheckpointError for files that are missing or damaged, for kinds and mechanisms that are not known, and
    for an adapter that doesn't fit the config. A head beside it is left alone.
    """
    directory = Path(directory)
    run = load_run(directory)
    if verify:
        check_listed(directory, run)
    try:
        file, foreign = SafetensorsFile(directory / ADAPTER_WEIGHTS), read_json(directory / ADAPTER_CONFIG)
        arrays = {name: _numbers(name, file) for name in file.entries}
        if arrays.pop(HEAD, None) is not None:
            foreign.pop("modules_to_save", None)
        weights = from_peft(config, foreign, arrays)
    except CheckpointError as error:
        raise CheckpointError(f"{directory}: {error}") from error
    base = stated_base(directory)
    own = _own_config(directory, run) or weights.config
    return AdapterWeights(own, weights.layers, base_digest=base.get("digest"), base=base.get("name"))


def check_headless(directory: Path) -> None:
    """CheckpointError for an adapter with a head beside it, which writes no text; says which verb uses it."""
    head = SafetensorsFile(directory / ADAPTER_WEIGHTS).entries.get(HEAD)
    if head is not None:
        labels = load_run(directory).get("labels") or range(head.shape[0])
        raise CheckpointError(headed_text(directory, labels))


def adapter_beside(
    directory: str | Path, config: DecoderConfig, base: Path | None, *, another_base: bool = False
) -> AdapterWeights:
    """The adapter in a directory, to stand beside the base at `base` (None: one that is in no file).

    CheckpointError as `read_adapter`, for a directory without an adapter, and for an adapter that was trained
    on another base, unless `another_base` says that this one is meant.
    """
    path = check_adapter(directory)
    check_headless(path)
    stated = stated_base(path)
    found = None if base is None or another_base else checkpoint_digest(base)
    if None not in (found, stated.get("digest")) and found != stated["digest"]:
        raise CheckpointError(
            f"the adapter in {path} was trained on another base, {stated.get('name')} with the digest "
            f"{stated['digest']}, than {base}, whose digest is {found}: use it on that one, or say "
            "--another-base if you mean this one (a packed form of the same model, say)"
        )
    return read_adapter(path, config)


def check_adapter(directory: str | Path) -> Path:
    """The path of an adapter's directory; CheckpointError if it is none, or without weights."""
    path = Path(directory).expanduser()
    if not is_adapter(path):
        raise CheckpointError(
            f"{path} is no adapter: expected a directory with {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}"
        )
    kind_of(path)  # says what is the matter with its weights
    return path


def _numbers(name: str, file: SafetensorsFile) -> np.ndarray:
    stored = stored_in_safetensors(name, file, file.entries[name])
    return np.ascontiguousarray(as_float32(stored.kind, stored.array), np.float32)


def _own_config(directory: Path, run: Mapping[str, Any]) -> AdapterConfig | None:
    """The adapter's settings as we wrote them, with what PEFT's keys don't say; None in PEFT's own."""
    if "adapter" not in run:
        return None
    try:
        return from_dict(AdapterConfig, run["adapter"])
    except (ConfigError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{directory / RUN_FILE}: adapter: {error}") from error
