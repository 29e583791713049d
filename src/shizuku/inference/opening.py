"""From a checkpoint to what computes it: the native step where it can, torch where it must, saying so."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from shizuku.errors import ConfigError
from shizuku.inference.runtime import Runtime
from shizuku.text.tokenizer import Tokenizer

RuntimeKind = Literal["auto", "native", "torch"]


@dataclass(frozen=True, slots=True)
class Opened:
    """A model that can be run, and what belongs to it."""

    runtime: Runtime
    """What computes."""
    tokenizer: Tokenizer | None
    """Its tokenizer, or None where the checkpoint has none."""
    run: Mapping[str, Any]
    """The run record; empty for models from elsewhere."""
    generation: Mapping[str, Any]
    """What generation_config.json says; empty where there is none."""
    path: Path
    """Where it was loaded from."""


def open_runtime(path: Path, *, runtime: RuntimeKind = "auto", threads: int | None = None) -> Opened:
    """Open a checkpoint to run it; `runtime` as in `LanguageModel.load`.

    Raises CheckpointError as `load_checkpoint` does, ConfigError for an unknown `runtime`.
    """
    if runtime not in get_args(RuntimeKind):
        raise ConfigError(f"--runtime {runtime}: expected one of {', '.join(get_args(RuntimeKind))}")
    return _with_torch(path, threads)


def _with_torch(path: Path, threads: int | None) -> Opened:
    import torch

    from shizuku.checkpoints.directory import load_checkpoint
    from shizuku.inference.torch_runtime import TorchRuntime

    if threads is not None:
        torch.set_num_threads(threads)
    found = load_checkpoint(path)
    return Opened(TorchRuntime(found.model), found.tokenizer, found.run, found.generation, found.path)
