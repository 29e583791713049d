"""Adapters as directories: PEFT's format, and beside it what our checkpoints have (`run.json`, tokenizer,
`state/`). They are saved whole, trained further, and opened with their base as one model.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shizuku.adapters.surgery import (
    adapter_config,
    adapter_weights,
    change_weights,
    chosen,
    decoder_of,
    merge,
    put_weights,
)
from shizuku.checkpoints.adapter_reading import read_adapter as read_adapter
from shizuku.checkpoints.bases import base_of, describe_base, float_origin
from shizuku.checkpoints.directory import Checkpoint, load_checkpoint, storable
from shizuku.checkpoints.kinds import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from shizuku.checkpoints.peft import to_peft
from shizuku.checkpoints.run_record import json_text
from shizuku.checkpoints.undisturbed import load_generation, load_run, tokenizer_of_directory
from shizuku.checkpoints.writing import bytes_of, save_tokenizer, write_directory, write_tensors
from shizuku.config import to_dict
from shizuku.errors import CheckpointError
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.text.tokenizer import Tokenizer


def save_adapter(
    directory: str | Path,
    *,
    model: nn.Module,
    name: str | None = None,
    tokenizer: Tokenizer | None = None,
    run: Mapping[str, Any] | None = None,
    extra: Callable[[Path], None] | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write an adapter of the model, the active one by default, and return its path; the base is not written.

    Arguments and atomicity as of `save_checkpoint`. What the model knows of its base (`name_base`) goes into
    run.json. CheckpointError as there; ModelError if the model has no such adapter.
    """
    name = chosen(model, name)
    weights, target = adapter_weights(model, name), Path(directory).resolve()
    foreign, arrays = to_peft(_config(model), weights)
    foreign["base_model_name_or_path"] = float_origin(weights.base)
    named = {each: torch.from_numpy(array) for each, array in arrays.items()}
    tensors = dict(storable(named, target, dtype))
    record = {
        **(run or {}),
        "base": describe_base(weights.base, weights.base_digest, target),
        "adapter": to_dict(adapter_config(model, name)),
    }

    def fill(made: Path) -> None:
        (made / ADAPTER_CONFIG).write_text(json_text(foreign), encoding="utf-8")
        write_tensors(made / ADAPTER_WEIGHTS, tensors, beside=made / ADAPTER_CONFIG)
        if tokenizer is not None:
            save_tokenizer(tokenizer, made)

    return write_directory(target, fill, needed=bytes_of(tensors), run=record, extra=extra)


def restore_adapter(directory: str | Path, model: nn.Module, *, name: str | None = None) -> None:
    """Give an adapter that is on the model the numbers that `save_adapter` wrote of one like it.

    CheckpointError as `read_adapter`, and for an adapter that was trained on another base.
    """
    weights, here = read_adapter(directory, _config(model)), adapter_weights(model, name)
    if None not in (weights.base_digest, here.base_digest) and weights.base_digest != here.base_digest:
        raise CheckpointError(
            f"the adapter in {directory} was trained on another base ({weights.base}, digest "
            f"{weights.base_digest}) than {here.base}, whose digest is {here.base_digest}"
        )
    change_weights(model, weights, name=name)


def load_adapted(
    path: str | Path, *, base: str | Path | None = None, verify: bool = True, merged: bool = True
) -> Checkpoint:
    """Open an adapter's directory: its base with the adapter merged into it in memory, or beside it.

    `base` takes the place of the one that the directory names, whatever its digest. A packed base's matrices
    are dequantised where the adapter is merged into them. CheckpointError if the base is missing or another
    than the adapter was trained on, and as `load_checkpoint` and `read_adapter`.
    """
    path = Path(path)
    run = load_run(path)
    found = load_checkpoint(base_of(path) if base is None else base, verify=verify)
    weights = read_adapter(path, found.model.config, verify=verify)
    put_weights(found.model, weights)
    if merged:
        merge(found.model)
    return Checkpoint(
        model=found.model.eval(),
        tokenizer=tokenizer_of_directory(path) or found.tokenizer,
        run=run,
        generation={**found.generation, **load_generation(path)},
        path=path,
        kind="adapter",
    )


def _config(model: nn.Module) -> DecoderConfig:
    decoder = decoder_of(model)
    assert isinstance(decoder, Decoder), "adapters are on decoders"
    return decoder.config
