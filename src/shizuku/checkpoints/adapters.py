"""Adapters as directories: PEFT's format, and beside it what our checkpoints have (`run.json`, tokenizer,
`state/`). They are saved whole, trained further, and opened with their base as one model.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
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
from shizuku.checkpoints.adapter_reading import HEAD as HEAD
from shizuku.checkpoints.adapter_reading import read_adapter as read_adapter
from shizuku.checkpoints.bases import base_of, describe_base, float_origin
from shizuku.checkpoints.directory import Checkpoint, load_checkpoint, storable
from shizuku.checkpoints.huggingface import headed_text
from shizuku.checkpoints.kinds import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from shizuku.checkpoints.peft import to_peft
from shizuku.checkpoints.run_record import json_text
from shizuku.checkpoints.undisturbed import load_generation, load_run, tokenizer_of_directory
from shizuku.checkpoints.writing import bytes_of, save_tokenizer, write_directory, write_tensors
from shizuku.config import to_dict
from shizuku.errors import CheckpointError
from shizuku.models.heads import HeadedDecoder, default_labels
from shizuku.text.tokenizer import Tokenizer

SCORE = "score"
"""What transformers calls the head of a decoder."""


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

    A head on the decoder is written with it, as PEFT writes `modules_to_save`.
    Arguments and atomicity as of `save_checkpoint`. What the model knows of its base (`name_base`) goes into
    run.json. CheckpointError as there; ModelError if the model has no such adapter.
    """
    name = chosen(model, name)
    weights, target = adapter_weights(model, name), Path(directory).resolve()
    foreign, arrays = to_peft(_config(model), weights)
    foreign["base_model_name_or_path"] = float_origin(weights.base)
    named = {each: torch.from_numpy(array) for each, array in arrays.items()}
    if isinstance(model, HeadedDecoder):
        foreign |= {"task_type": "SEQ_CLS", "modules_to_save": [SCORE]}
        named[HEAD] = model.head.weight.detach().cpu()
        run = {**(run or {}), "labels": list(model.labels)}
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


def read_head(directory: str | Path) -> tuple[torch.Tensor, tuple[str, ...]] | None:
    """The head stored beside an adapter, [outputs, width], and its labels; None where there is none."""
    directory = Path(directory)
    head_OD = _tensors(directory).get(HEAD)
    if head_OD is None:
        return None
    labels = load_run(directory).get("labels")
    if not isinstance(labels, list) or len(labels) != len(head_OD):
        labels = default_labels(len(head_OD))
    return head_OD.float(), tuple(map(str, labels))


def _tensors(directory: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(directory / ADAPTER_WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{directory / ADAPTER_WEIGHTS}: cannot be read: {error}") from error


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
    if isinstance(model, HeadedDecoder):
        found = read_head(directory)
        if found is None or found[0].shape != model.head.weight.shape:
            raise CheckpointError(f"{directory} has no head of {model.outputs} outputs beside the adapter")
        with torch.no_grad():
            model.head.weight.copy_(found[0])


def load_adapted(
    path: str | Path, *, base: str | Path | None = None, verify: bool = True, merged: bool = True
) -> Checkpoint:
    """Open an adapter's directory: its base with the adapter merged into it in memory, or beside it.

    `base` takes the place of the one that the directory names, whatever its digest. A packed base's matrices
    are dequantised where the adapter is merged into them. CheckpointError if the base is missing or another
    than the adapter was trained on, and as `load_checkpoint` and `read_adapter`.
    """
    path = Path(path)
    head = read_head(path)
    if head is not None:
        raise CheckpointError(headed_text(path, head[1]))
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


def _config(model: nn.Module) -> Any:
    return decoder_of(model).config
