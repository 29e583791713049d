"""n-gram models as checkpoint directories: config.json and the tables in model.safetensors. No torch.

The arrays of the n-grams of length 2 are `2.keys`, `2.logprobs` and, but for the longest, `2.backoffs`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from shizuku.checkpoints.huggingface import NGRAM_MODEL_TYPE, read_json
from shizuku.checkpoints.memory import check_fits
from shizuku.checkpoints.run_record import json_text
from shizuku.checkpoints.undisturbed import check_listed, load_run, tokenizer_of_directory, undisturbed
from shizuku.errors import CheckpointError, ModelError
from shizuku.models.ngram import Level, NGramModel
from shizuku.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class NGramCheckpoint:
    """An n-gram model and what belongs to it."""

    model: NGramModel
    """The tables."""
    tokenizer: Tokenizer | None
    """Its tokenizer, or None where the checkpoint has none."""
    run: dict[str, Any]
    """The run record."""
    path: Path
    """Where it was loaded from."""


def is_ngram(path: Path) -> bool:
    """Whether a directory holds an n-gram model."""
    config = path / "config.json"
    return config.is_file() and read_json(config).get("model_type") == NGRAM_MODEL_TYPE


def save_ngram(
    directory: str | Path,
    *,
    model: NGramModel,
    tokenizer: Tokenizer | None = None,
    run: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model as a checkpoint directory and return its path; atomic, with errors as `save_checkpoint`.

    `settings` say in config.json how it was counted and smoothed.
    """
    from shizuku.checkpoints.writing import save_tokenizer, write_directory  # with which comes torch

    if tokenizer is not None and tokenizer.vocab_size > model.vocab_size:
        raise CheckpointError(
            f"the tokenizer has {tokenizer.vocab_size} ids, but the model only {model.vocab_size}: save the "
            "model with the tokenizer that it was counted with"
        )
    arrays: dict[str, np.ndarray] = {}
    for length, level in enumerate(model.levels, start=1):
        arrays[f"{length}.keys"], arrays[f"{length}.logprobs"] = level.keys_N, level.logprobs_N
        if level.backoffs_N is not None:
            arrays[f"{length}.backoffs"] = level.backoffs_N
    config = {
        "model_type": NGRAM_MODEL_TYPE,
        "vocab_size": model.vocab_size,
        "order": model.order,
        "unpredicted": model.unpredicted,
        **(settings or {}),
    }

    def fill(made: Path) -> None:
        (made / "config.json").write_text(json_text(config), encoding="utf-8")
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(whole, made / "model.safetensors")
        (made / "model.safetensors").chmod((made / "config.json").stat().st_mode)
        if tokenizer is not None:
            save_tokenizer(tokenizer, made)

    return write_directory(directory, fill, needed=model.bytes, run=run)


def load_ngram(path: str | Path, *, verify: bool = True) -> NGramCheckpoint:
    """Open a directory that `save_ngram` wrote.

    CheckpointError for what is missing, damaged or doesn't fit together, and for tables larger than memory.
    """
    path = Path(path)

    def load() -> NGramCheckpoint:
        run, config = load_run(path), read_json(path / "config.json")
        file = path / "model.safetensors"
        if not file.is_file():
            raise CheckpointError(f"{path} has a config.json, but no weights: model.safetensors is missing")
        check_fits(f"the model in {path}", file.stat().st_size)
        if verify:
            check_listed(path, run)
        try:
            model = _assembled(config, load_file(file))
        except (OSError, SafetensorError, KeyError, ModelError, TypeError) as error:
            raise CheckpointError(f"{path}: the n-gram tables cannot be read: {error}") from error
        return NGramCheckpoint(model, tokenizer_of_directory(path), run, path)

    return undisturbed(path, load)


def _assembled(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> NGramModel:
    order = int(config["order"])
    expected = {f"{length}.{what}" for length in range(1, order + 1) for what in ("keys", "logprobs")}
    expected |= {f"{length}.backoffs" for length in range(1, order)}
    if expected != set(arrays):
        raise ModelError(
            f"{', '.join(sorted(expected ^ set(arrays))[:5])}: missing, or not part of the model"
        )
    levels = []
    for length in range(1, order + 1):
        keys, logprobs = arrays[f"{length}.keys"], arrays[f"{length}.logprobs"]
        backoffs = arrays.get(f"{length}.backoffs")
        sizes = {len(array) for array in (keys, logprobs, backoffs) if array is not None}
        if keys.dtype != np.uint64 or logprobs.dtype != np.float64 or len(sizes) != 1:
            raise ModelError(f"the arrays of length {length} have wrong types or lengths")
        if not (logprobs <= 1e-9).all() or (backoffs is not None and np.isnan(backoffs).any()):
            raise ModelError(f"a log-probability of length {length} is above 0 or no number")
        levels.append(Level(keys, logprobs, backoffs))
    model = NGramModel(levels, unpredicted=config.get("unpredicted"))
    if model.vocab_size != config.get("vocab_size"):
        said = config.get("vocab_size")
        raise ModelError(f"the config says {said} tokens, the tables have {model.vocab_size}")
    return model
