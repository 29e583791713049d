"""From a checkpoint to what computes it: the native step where it can, torch where it must, saying so."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from shizuku.checkpoints.bases import base_of
from shizuku.checkpoints.huggingface import architecture_at
from shizuku.checkpoints.kinds import is_adapter
from shizuku.checkpoints.ngram import is_ngram, load_ngram
from shizuku.errors import CheckpointError, ConfigError, ModelError, NativeLibraryError
from shizuku.inference.engine_settings import EngineSettings
from shizuku.inference.runtime import Runtime
from shizuku.inference.scheduling import Guesser
from shizuku.progress import warn_once
from shizuku.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import nn

    from shizuku.adapters.weights import AdapterWeights
    from shizuku.checkpoints.packed import PackedCheckpoint
    from shizuku.models.decoder import Decoder

RuntimeKind = Literal["auto", "native", "torch"]
CacheKind = Literal["auto", "f32", "f16", "int8"]


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


def open_runtime(
    path: Path,
    *,
    runtime: str = "auto",
    threads: int | None = None,
    cache: str = "auto",
) -> Opened:
    """Open a checkpoint to run it; the settings as in `LanguageModel.load`.

    Raises CheckpointError as `load_checkpoint` does, ConfigError for an unknown setting, NativeLibraryError
    and ModelError where "native" was asked for and can't be had.
    """
    for flag, value, kinds in (("runtime", runtime, RuntimeKind), ("cache", cache, CacheKind)):
        if value not in get_args(kinds):
            raise ConfigError(f"--{flag} {value}: expected one of {', '.join(get_args(kinds))}")
    if is_ngram(path):
        if runtime == "native":
            raise ModelError(f"--runtime native: {path} is an n-gram model, which is looked up: leave it out")
        return _with_tables(path)
    kind = architecture_at(_whole_model(path))
    if kind != "decoder" and runtime == "native":
        raise ModelError(
            f"--runtime native: the native library computes decoders, and {path} is of the architecture "
            f"{kind}: leave --runtime out, or choose torch"
        )
    if runtime == "torch" or kind != "decoder":
        return _with_torch(path, threads, cache)
    try:
        from shizuku.quantization.native.library import load

        load()
    except NativeLibraryError as error:
        if runtime == "native":
            raise
        warn_once(f"{error}. Until then torch computes, from unpacked weights: slower, and in more memory")
        return _with_torch(path, threads, cache)
    if is_adapter(path) and is_adapter(base_of(path)):
        if runtime == "native":
            raise ModelError(
                f"{base_of(path)}, the base of {path}, is an adapter itself: shizuku merge it first"
            )
        return _with_torch(path, threads, cache)
    return _with_native(path, runtime, threads, cache)


def _whole_model(path: Path) -> Path:
    """The path itself, or what adapters stand on in the end."""
    while is_adapter(path):
        path = base_of(path)
    return path


def _with_tables(path: Path) -> Opened:
    from shizuku.inference.ngram_runtime import NGramRuntime

    found = load_ngram(path)
    return Opened(NGramRuntime(found.model), found.tokenizer, found.run, {}, found.path)


def _with_native(path: Path, runtime: str, threads: int | None, cache: str) -> Opened:
    from shizuku.checkpoints.packed import open_packed
    from shizuku.inference.native import NativeRuntime, unsupported

    found, adapter = open_packed(base_of(path) if is_adapter(path) else path), None
    if is_adapter(path):
        found, adapter = _under_adapter(path, found)
    kinds = {tensor.kind for tensor in found.tensors.values()}
    missing = unsupported(found.config, kinds)
    if missing:
        message = f"the native library has no {', nor '.join(missing)}, which {path} needs"
        if runtime == "native":
            raise ModelError(f"{message}: choose --runtime torch")
        warn_once(f"{message}: torch computes, from unpacked weights")
        return _with_torch(path, threads, cache)
    if cache == "auto":
        # Where weights are numbers and not integers, the cache shall not be what rounds most.
        cache = "f16" if any(kind.startswith("q") for kind in kinds) else "f32"
    made = NativeRuntime(found.config, found.tensors, threads=threads, cache=cache, adapter=adapter)  # type: ignore[arg-type]
    return Opened(made, found.tokenizer, found.run, found.generation, found.path)


def _under_adapter(path: Path, base: "PackedCheckpoint") -> "tuple[PackedCheckpoint, AdapterWeights]":
    """What an adapter's directory makes of its base: the same weights, and what it has itself besides."""
    from shizuku.checkpoints.adapter_reading import check_headless, read_adapter
    from shizuku.checkpoints.undisturbed import load_generation, load_run, tokenizer_of_directory

    check_headless(path)
    found = replace(
        base,
        tokenizer=tokenizer_of_directory(path) or base.tokenizer,
        run=load_run(path),
        generation={**base.generation, **load_generation(path)},
        path=path,
    )
    return found, read_adapter(path, base.config)


def _with_torch(path: Path, threads: int | None, cache: str) -> Opened:
    if cache not in ("auto", "f32"):
        raise ConfigError(
            f"--cache {cache}: torch computes here, and its cache is float32: leave --cache out"
        )
    import torch

    from shizuku.checkpoints.directory import load_checkpoint

    if threads is not None:
        torch.set_num_threads(threads)
    found = load_checkpoint(path)
    return Opened(runtime_of(found.model), found.tokenizer, found.run, found.generation, found.path)


def open_module(path: Path | None, *, base: Path | None = None) -> "Decoder":
    """The torch module of a checkpoint, or of the adapter at `path` merged into `base`, in float32.

    CheckpointError without a path, and as loading does.
    """
    if path is None:
        raise CheckpointError("this model was not loaded from a path: its torch module can't be built")
    if base is None:
        from shizuku.checkpoints.directory import load_model

        return load_model(path)
    from shizuku.checkpoints.adapters import load_adapted

    return load_adapted(path, base=base).model


def open_guesser(
    draft: Path | None, target: Runtime, settings: EngineSettings | None, **how: Any
) -> Guesser | None:
    """What guesses with the model at `draft`, opened with `how`; ConfigError where no guesses are wanted."""
    if draft is None:
        return None
    from shizuku.inference.speculation import DraftModel

    if settings is None or settings.speculative_tokens == 0:
        raise ConfigError("--draft: say how many tokens to guess at once, with --speculative-tokens")
    return DraftModel(open_runtime(draft, **how).runtime, target=target, settings=settings)


_RUNTIMES = {
    "cached": "torch_runtime.TorchRuntime",
    "recurrent": "recurrent_runtime.RecurrentRuntime",
    "whole": "whole_runtime.WholeRuntime",
}
"""What computes a torch module in this room, by how its architecture runs."""


def runtime_of(model: "nn.Module | Runtime") -> Runtime:
    """A runtime as it is, a torch module in the one that its architecture asks for.

    ModelError for a model that needs a source beside the text.
    """
    if isinstance(model, Runtime):
        return model
    from shizuku.models.architectures import architecture_of, require

    runs = architecture_of(model.config).runs
    if runs not in _RUNTIMES:
        require(model.config, "generate", "read a text that stands alone")
    module, name = _RUNTIMES[runs].split(".")
    runtime: Runtime = getattr(import_module(f"shizuku.inference.{module}"), name)(model)
    return runtime
