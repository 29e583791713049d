"""Checkpoints: a directory that is a Hugging Face directory and a little more, saved whole and loaded whole.

Beside Hugging Face's files stand `run.json` (how it came to be, and the digest of every file) and `state/`
(what training needs to go on). `.gguf` files and foreign Hugging Face directories are loaded too.
"""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shizuku.adapters.surgery import is_adapted
from shizuku.checkpoints.digests import check_files
from shizuku.checkpoints.gguf import open_gguf
from shizuku.checkpoints.gguf_tensors import GGUFFile
from shizuku.checkpoints.huggingface import load_weights, read_config, to_huggingface, weight_files
from shizuku.checkpoints.kinds import Kind, kind_of
from shizuku.checkpoints.memory import check_fits
from shizuku.checkpoints.names import resolve
from shizuku.checkpoints.quantized import config_of, is_packed, load_quantized
from shizuku.checkpoints.replacing import check_replaceable
from shizuku.checkpoints.run_record import checkpoint_digest, run_record
from shizuku.checkpoints.undisturbed import (
    STATE,
    check_listed,
    check_pulled,
    load_generation,
    load_run,
    load_tokenizer,
    tokenizer_of_directory,
    tokenizer_of_gguf,
    undisturbed,
)
from shizuku.checkpoints.weights import expected_shapes
from shizuku.checkpoints.writing import REPLACEABLE, bytes_of, write_directory, write_model
from shizuku.errors import CheckpointError
from shizuku.models.architectures import build
from shizuku.models.decoder import Decoder
from shizuku.quantization.surgery import is_quantized
from shizuku.text.tokenizer import Tokenizer

__all__ = [
    "Checkpoint",
    "checkpoint_digest",
    "load_checkpoint",
    "load_model",
    "load_run",
    "load_tokenizer",
    "resolve",
    "run_record",
    "save_checkpoint",
]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model and what belongs to it, as loaded from disk."""

    model: Any
    """The model, of one of our architectures, mostly a `Decoder`: float32 on the CPU, in evaluation mode."""
    tokenizer: Tokenizer | None
    """Its tokenizer, or None where the checkpoint has none."""
    run: dict[str, Any]
    """The run record; empty for models from elsewhere."""
    generation: dict[str, Any]
    """What generation_config.json says; empty where there is none."""
    path: Path
    """Where it was loaded from."""
    kind: Kind
    """shizuku, huggingface, adapter (merged into its base) or gguf."""


def save_checkpoint(
    directory: str | Path,
    *,
    model: Any,
    weights: Mapping[str, Tensor] | None = None,
    tokenizer: Tokenizer | None = None,
    run: Mapping[str, Any] | None = None,
    generation: Mapping[str, Any] | None = None,
    extra: Callable[[Path], None] | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write a checkpoint and return its path; whatever happens, the directory holds the old or the new one.

    `weights` is the model's state_dict where the model itself has only a share of it. `run` is a
    `run_record`; `extra` writes further files, such as `state/`, into the folder that it is given, and they
    change together with the weights. With `dtype` float16 or bfloat16 numbers are stored in it, two bytes
    each, and loaded as the float32 of the same value. Files in the directory that are no part of a
    checkpoint stay.
    A full disk, an unwritable place, weights that are not finite or too large for `dtype`, or a tokenizer
    with more ids than the model raise CheckpointError and leave what was there.
    """
    target = Path(os.path.realpath(directory))
    check_replaceable(target, REPLACEABLE)
    if tokenizer is not None and tokenizer.vocab_size > model.config.vocab_size:
        raise CheckpointError(
            f"the tokenizer has {tokenizer.vocab_size} ids, but the model only {model.config.vocab_size}: "
            "save the model with the tokenizer that it was trained with"
        )
    if is_adapted(model):
        raise CheckpointError(
            f"the model to be saved in {target} has an adapter on it: merge it, or take it off, first "
            "(shizuku.adapters.surgery)"
        )
    packed = is_quantized(model)
    if packed and (weights is not None or dtype is not None):
        raise CheckpointError("a quantized model is stored as it is: its types cannot be chosen")
    weights = storable(model.state_dict() if weights is None else weights, target, dtype)

    def fill(made: Path) -> None:
        written = config_of(model), dict(weights)
        if not packed:
            written = to_huggingface(model.config, weights)
        write_model(made, *written, tokenizer, generation)

    return write_directory(target, fill, needed=bytes_of(weights), run=run, extra=extra)


def load_checkpoint(path: str | Path, *, verify: bool = True) -> Checkpoint:
    """Load a checkpoint directory, a Hugging Face directory, an adapter with its base, or a `.gguf` file (see
    `resolve` for names).

    Digests in `run.json`, and those of pulled files, are compared unless `verify` is False. What is missing,
    damaged, foreign, not finite or larger than the memory raises CheckpointError; a broken tokenizer raises
    TokenizerError.
    """
    path = Path(path)

    def load() -> Checkpoint:
        kind = kind_of(path)
        if kind == "adapter":
            # Opened by a module that opens the base with this one.
            from shizuku.checkpoints.adapters import load_adapted

            return load_adapted(path, verify=verify)
        if kind == "gguf":
            model, tokenizer = _load_gguf(path, verify=verify), tokenizer_of_gguf(path)
            return Checkpoint(model, tokenizer, {}, {}, path, kind)
        run = load_run(path)
        model = _load_directory(path, run, verify=verify)
        return Checkpoint(model, tokenizer_of_directory(path), run, load_generation(path), path, kind)

    return undisturbed(path, load)


def load_model(path: str | Path, *, verify: bool = True) -> Any:
    """Load the model alone, float32 on the CPU in evaluation mode; raises as `load_checkpoint`."""
    path = Path(path)

    def load() -> Any:
        kind = kind_of(path)
        if kind == "adapter":
            return load_checkpoint(path, verify=verify).model
        if kind == "gguf":
            return _load_gguf(path, verify=verify)
        return _load_directory(path, load_run(path), verify=verify)

    return undisturbed(path, load)


def check_state(path: Path) -> None:
    """Compare the files under `state/` with their digests; CheckpointError names one that differs."""
    files = load_run(path).get("files") or {}
    check_files(path, {name: entry for name, entry in files.items() if name.startswith(f"{STATE}/")})


def check_finite(weights: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights that are NaN or infinite with CheckpointError naming the first such tensor."""
    for name, tensor in weights.items():
        if tensor.is_floating_point() and tensor.numel():
            low, high = tensor.aminmax()
            if not (torch.isfinite(low) and torch.isfinite(high)):
                bad = int((~torch.isfinite(tensor)).sum())
                raise CheckpointError(
                    f"{where}: {bad} of the {tensor.numel()} numbers in {name} are NaN or infinite. "
                    "Take an earlier checkpoint; if training made it, lower the learning rate"
                )


# ---- writing


def storable(weights: Mapping[str, Tensor], target: Path, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """The weights in `dtype`, if one is given; CheckpointError if they are not finite or too large for it."""
    check_finite(weights, f"the model to be saved in {target}")
    if dtype is not None:
        check_range(weights, dtype)
        weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
    return dict(weights)


def check_range(weights: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """CheckpointError naming the first tensor with a number that is too large for this type."""
    largest = torch.finfo(dtype).max
    for name, tensor in weights.items():
        extreme = float(tensor.abs().max()) if tensor.numel() else 0.0
        if extreme > largest:
            raise CheckpointError(
                f"{name} holds {extreme:g}, more than {str(dtype).removeprefix('torch.')} can "
                f"({largest:g}): choose --type f32 or bf16 (in training, --loop.save-dtype float32)"
            )


# ---- reading


def _load_directory(path: Path, run: Mapping[str, Any], *, verify: bool) -> Any:
    config = read_config(path)
    stored = sum(file.stat().st_size for file in weight_files(path))
    packed = is_packed(path)
    whole = stored if packed else 4 * sum(math.prod(shape) for shape in expected_shapes(config).values())
    # Weights stored in fewer bits than float32 lie in memory beside it until all are converted.
    check_fits(f"the model in {path}", whole if stored >= whole else whole + stored)
    if verify:
        check_listed(path, run)
        for file in weight_files(path):
            check_pulled(file)
    if packed:
        return load_quantized(path, config)
    return _assemble(config, load_weights(path, config), path)


def _load_gguf(path: Path, *, verify: bool) -> Decoder:
    try:
        entries = GGUFFile(path).entries.values()
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    check_fits(f"the model in {path}", 4 * sum(math.prod(entry.shape) for entry in entries))
    if verify:
        check_pulled(path)
    config, weights, _ = open_gguf(path)
    return _assemble(config, weights, path)


def _assemble(config: Any, weights: Mapping[str, Tensor], path: Path) -> Any:
    check_finite(weights, str(path))
    with torch.device("meta"):
        model = build(config)
    model.load_state_dict(dict(weights), strict=True, assign=True)
    return model.eval()
