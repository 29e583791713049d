"""Alignment models as checkpoint directories: config.json, the words, and the tables in model.safetensors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from shizuku.checkpoints.huggingface import ALIGNMENT_MODEL_TYPE, read_json
from shizuku.checkpoints.run_record import json_text
from shizuku.checkpoints.undisturbed import check_listed, load_run, undisturbed
from shizuku.errors import CheckpointError
from shizuku.models.alignment import AlignmentModel
from shizuku.models.alignment_jumps import Jumps

WORDS = "words.json"


def save_alignment(
    directory: str | Path, *, model: AlignmentModel, run: Mapping[str, Any] | None = None
) -> Path:
    """Write a model as a directory and return its path; atomic, with errors as `save_checkpoint`."""
    from shizuku.checkpoints.writing import write_directory  # with which comes torch

    arrays = {"pairs": model.pairs_N, "translation": model.translation_N}
    if model.places_P is not None and model.position_P is not None:
        arrays |= {"places": model.places_P, "position": model.position_P}
    if model.jumps is not None:
        arrays["jumps"] = model.jumps.weight_W
    config = {
        "model_type": ALIGNMENT_MODEL_TYPE,
        "alignment_model": model.kind,
        "null": model.null,
        "null_share": None if model.jumps is None else model.jumps.null_share,
        "source_words": len(model.source_words),
        "target_words": len(model.target_words),
    }

    def fill(made: Path) -> None:
        (made / "config.json").write_text(json_text(config), encoding="utf-8")
        words = {"source": model.source_words, "target": model.target_words}
        (made / WORDS).write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()}, made / "model.safetensors"
        )
        (made / "model.safetensors").chmod((made / "config.json").stat().st_mode)

    return write_directory(directory, fill, needed=sum(array.nbytes for array in arrays.values()), run=run)


def is_alignment(path: Path) -> bool:
    """Whether a directory holds an alignment model."""
    config = path / "config.json"
    return config.is_file() and read_json(config).get("model_type") == ALIGNMENT_MODEL_TYPE


def load_alignment(path: str | Path, *, verify: bool = True) -> AlignmentModel:
    """Open a directory that `save_alignment` wrote; CheckpointError for what is missing or damaged."""
    path = Path(path)

    def load() -> AlignmentModel:
        run, config = load_run(path), read_json(path / "config.json")
        if config.get("model_type") != ALIGNMENT_MODEL_TYPE:
            raise CheckpointError(f"{path} is no alignment model but {config.get('model_type')!r}")
        if verify:
            check_listed(path, run)
        words = read_json(path / WORDS)
        try:
            arrays = load_file(path / "model.safetensors")
            model = AlignmentModel(
                source_words=tuple(words["source"]),
                target_words=tuple(words["target"]),
                pairs_N=arrays["pairs"],
                translation_N=arrays["translation"],
                null=bool(config["null"]),
                places_P=arrays.get("places"),
                position_P=arrays.get("position"),
                jumps=Jumps(arrays["jumps"], float(config["null_share"])) if "jumps" in arrays else None,
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path}: the tables cannot be read: {error}") from error
        sizes = len(model.pairs_N), len(model.source_words) * len(model.target_words)
        if len(model.translation_N) != sizes[0] or (sizes[0] and int(model.pairs_N[-1]) >= sizes[1]):
            raise CheckpointError(f"{path}: the tables don't fit the words")
        if model.jumps is not None and not _sound(model.jumps):
            raise CheckpointError(f"{path}: the jumps have no sound weights, or NULL no share")
        if not np.isfinite(model.translation_N).all():
            raise CheckpointError(f"{path}: a probability is no number")
        return model

    return undisturbed(path, load)


def _sound(jumps: Jumps) -> bool:
    weight_W = jumps.weight_W
    return bool(
        weight_W.ndim == 1 and len(weight_W) % 2 and np.isfinite(weight_W).all() and weight_W.min() >= 0
        and weight_W.max() > 0 and 0 <= jumps.null_share < 1
    )  # fmt: skip
