"""What a checkpoint is made of, from its headers alone: no weight is read."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shizuku.checkpoints.families import families
from shizuku.checkpoints.gguf_tensors import GGUFFile, kind_name
from shizuku.checkpoints.home import pulled_models
from shizuku.checkpoints.huggingface import (
    QUANTIZED_MODEL_TYPE,
    own_architecture,
    read_config,
    read_json,
    weight_files,
)
from shizuku.checkpoints.kinds import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Kind, kind_of
from shizuku.checkpoints.safetensors_file import SafetensorsFile
from shizuku.checkpoints.undisturbed import load_run
from shizuku.errors import CheckpointError

LONG = 100
"""Lists of metadata longer than this (vocabularies, merges) are told by their length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """A checkpoint as its headers describe it."""

    path: Path
    """The directory or file."""
    kind: Kind
    """shizuku, huggingface, adapter or gguf."""
    architecture: str
    """The model_type, of an adapter its peft_type, or GGUF's name of the architecture."""
    config: dict[str, Any]
    """The keys of config.json or adapter_config.json, or GGUF's metadata without the vocabulary itself."""
    parameters: int
    """Numbers in all stored tensors; a tied matrix is stored once."""
    tensors: int
    """Number of tensors."""
    types: dict[str, int]
    """Parameters by the type that they are stored in."""
    bytes: int
    """What the weights take on the disk."""
    tokenizer: dict[str, Any] | None
    """Kind and size of the vocabulary and whether there is a chat template; None without a tokenizer."""
    licence: str | None
    """What the checkpoint says of its licence."""
    run: dict[str, Any]
    """The run record; empty for models from elsewhere."""


def read_contents(path: Path) -> Contents:
    """Describe a checkpoint; CheckpointError as loading it would give for damaged headers."""
    return _of_gguf(path) if kind_of(path) == "gguf" else _of_directory(path)


def unknown_architecture(path: Path) -> str | None:
    """Why a checkpoint's architecture cannot be loaded here, or None if it is known."""
    found = read_contents(path)
    gguf_file = found.kind == "gguf"
    every = (f.gguf_architecture if gguf_file else f.model_type for f in families().values())
    known = sorted(filter(None, every))
    if found.architecture == QUANTIZED_MODEL_TYPE:
        read_config(path)
        return None
    if found.architecture in known or own_architecture(found.architecture) is not None:
        return None
    return f"the architecture {found.architecture!r} is not known; known are {', '.join(known)}"


def _of_directory(path: Path) -> Contents:
    kind = kind_of(path)
    adapter = kind == "adapter"
    config = read_json(path / (ADAPTER_CONFIG if adapter else "config.json"))
    types: Counter[str] = Counter()
    tensors = 0
    files = [path / ADAPTER_WEIGHTS] if adapter else weight_files(path)
    for file in files:
        for entry in SafetensorsFile(file).entries.values():
            types[entry.dtype] += math.prod(entry.shape)
            tensors += 1
    licence = next((f.name for f in sorted(path.glob("LICENSE*"))), None)
    return Contents(
        path=path,
        kind=kind,
        architecture=str(config.get("peft_type" if adapter else "model_type", "not stated")),
        config=config,
        parameters=types.total(),
        tensors=tensors,
        types=dict(types.most_common()),
        bytes=sum(file.stat().st_size for file in files),
        tokenizer=_tokenizer_of_directory(path),
        licence=_pulled_licence(path) or (f"in {licence}" if licence else None),
        run=load_run(path),
    )


def _tokenizer_of_directory(path: Path) -> dict[str, Any] | None:
    file = path / "tokenizer.json"
    if not file.is_file():
        return None
    whole = read_json(file)
    model = whole.get("model") or {}
    ids = [entry.get("id", -1) for entry in whole.get("added_tokens") or ()]
    settings = read_json(path / "tokenizer_config.json") if (path / "tokenizer_config.json").is_file() else {}
    return {
        "kind": model.get("type", "not stated"),
        "vocab_size": max([len(model.get("vocab") or ()), *(i + 1 for i in ids)]),
        "chat_template": (path / "chat_template.jinja").is_file() or "chat_template" in settings,
    }


def _of_gguf(path: Path) -> Contents:
    try:
        opened = GGUFFile(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    metadata = opened.metadata
    types: Counter[str] = Counter()
    for entry in opened.entries.values():
        types[kind_name(entry.kind)] += math.prod(entry.shape)
    stated = metadata.get("general.license")
    return Contents(
        path=path,
        kind="gguf",
        architecture=str(metadata.get("general.architecture", "not stated")),
        config={key: _short(value) for key, value in metadata.items()},
        parameters=types.total(),
        tensors=len(opened.entries),
        types=dict(types.most_common()),
        bytes=path.stat().st_size,
        tokenizer=_tokenizer_of_gguf(metadata),
        licence=_pulled_licence(path) or (str(stated) if stated else None),
        run={},
    )


def _tokenizer_of_gguf(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    tokens = metadata.get("tokenizer.ggml.tokens")
    if tokens is None:
        return None
    return {
        "kind": f"{metadata.get('tokenizer.ggml.model')} ({metadata.get('tokenizer.ggml.pre', 'default')})",
        "vocab_size": len(tokens),
        "chat_template": "tokenizer.chat_template" in metadata,
    }


def _short(value: Any) -> Any:
    return f"[{len(value):,} values]" if isinstance(value, list) and len(value) > LONG else value


def _pulled_licence(path: Path) -> str | None:
    for model in pulled_models():
        if model.path == path:
            return str(model.record.get("licence")) or None
    return None
