"""An adapter's directory put beside a model, and what comes with it besides its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shizuku.adapters.weights import AdapterWeights
from shizuku.checkpoints.adapter_reading import adapter_beside
from shizuku.checkpoints.undisturbed import load_generation, load_run, tokenizer_of_directory
from shizuku.errors import ConfigError, ModelError
from shizuku.inference.adapting import AdaptingRuntime
from shizuku.inference.engine import Engine
from shizuku.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Beside:
    """What belongs to one adapter of a model."""

    tokenizer: Tokenizer | None = None
    """Its own tokenizer, which may have another chat template; None: the base's."""
    run: Mapping[str, Any] = field(default_factory=dict)
    """Its run record."""
    generation: Mapping[str, Any] = field(default_factory=dict)
    """What its generation_config.json says, beside what the base's does."""
    path: Path | None = None
    """Where it was read from."""
    base: Path | None = None
    """Where its base was."""


def put_beside(
    engine: Engine,
    name: str,
    adapter: AdapterWeights | str | Path,
    *,
    base: Path | None,
    another_base: bool = False,
) -> Beside:
    """Have an adapter on the engine's runtime; the errors of `Engine.add_adapter` and `adapter_beside`."""
    if isinstance(adapter, AdapterWeights):
        engine.add_adapter(name, adapter)
        return Beside(base=base)
    if not isinstance(engine.runtime, AdaptingRuntime):
        raise ConfigError("this runtime can have no adapters: merge them into the model")
    path = Path(adapter).expanduser()
    weights = adapter_beside(path, engine.runtime.config, base, another_base=another_base)
    tokenizer = tokenizer_of_directory(path)
    if tokenizer is not None and tokenizer.vocab_size > engine.runtime.vocab_size:
        raise ModelError(
            f"the tokenizer in {path} has {tokenizer.vocab_size} ids, but the model only "
            f"{engine.runtime.vocab_size}: the adapter is for another base"
        )
    engine.add_adapter(name, weights)
    return Beside(tokenizer, load_run(path), load_generation(path), path, base)
