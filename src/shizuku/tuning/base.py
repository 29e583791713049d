"""The model that tuning begins with: in floats, packed as it lies there, or rounded first; with an adapter on
it where one is to be trained.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.surgery import attach, name_base
from shizuku.checkpoints.directory import (
    Checkpoint,
    checkpoint_digest,
    load_checkpoint,
    load_run,
    run_record,
    save_checkpoint,
)
from shizuku.checkpoints.gguf_packed import load_gguf_packed
from shizuku.checkpoints.kinds import is_adapter, kind_of
from shizuku.checkpoints.names import resolve
from shizuku.checkpoints.undisturbed import needed_tokenizer
from shizuku.errors import ConfigError
from shizuku.models.architectures import Ability, architecture_of, require
from shizuku.progress import bar, say
from shizuku.quantization.layers import QuantizedEmbedding, QuantizedLinear
from shizuku.quantization.scheme import SCHEMES
from shizuku.quantization.surgery import (
    TABLES,
    dequantize,
    is_quantized,
    matrices,
    put_layer,
    quantized_layers,
)
from shizuku.quantization.whole import quantize_model
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.config import BaseKind

ROUNDED = "base"
"""Folder, in that of the adapter, of a base that was rounded for it."""


@dataclass(frozen=True, slots=True)
class Base:
    """The model that tuning begins with."""

    model: Any
    """The model."""
    tokenizer: Tokenizer
    """Its tokenizer."""
    path: Path
    """Where what was asked for lies."""
    name: str
    """What an adapter calls its base: a model's name, or a whole path, so that it is found from anywhere."""
    weights: Path
    """Where the weights lie that an adapter is for: `path`, or the folder of the rounded ones."""


def open_base(
    given: str, kind: BaseKind = "float", *, out: Path | None = None, needs: Ability = "generate"
) -> Base:
    """Open the model of this name or path as `kind` says.

    A base that is rounded is kept in `out`/base, from where a resumed run takes it; nothing is written
    without `out`. ConfigError for a checkpoint that can't be had like this, CheckpointError for one without
    a tokenizer, ModelError for one without the ability that it needs.
    """
    path = resolve(given)
    name = str(path.resolve()) if Path(given).expanduser().exists() else given
    found = _opened(path, kind, name=name, out=out)
    require(found.model.config, needs)
    tokenizer = needed_tokenizer(found.tokenizer, path)
    if found.path != path:
        name = str(found.path.resolve())
    return Base(found.model, tokenizer, path, name, found.path)


def _opened(path: Path, kind: BaseKind, *, name: str, out: Path | None) -> Checkpoint:
    if kind == "float":
        found = load_checkpoint(path)
        dequantize(found.model)
        return found
    if kind == "packed":
        return _packed(path)
    kept = None if out is None else out / ROUNDED
    if kept is not None and kept.is_dir():
        run = load_run(kept)
        made = (run.get("parent") or {}).get("digest"), (run.get("config") or {}).get("scheme")
        if made != (checkpoint_digest(path), kind):
            raise ConfigError(f"{kept} was rounded from another model, or otherwise: give another --out")
        return load_checkpoint(kept)
    found = load_checkpoint(path)
    if is_quantized(found.model):
        raise ConfigError(f"--base {kind}: {name} is packed already: tune it as it is, with --base packed")
    names = [each for each in matrices(found.model) if each.startswith("blocks.")]
    with bar(f"rounding to {kind}", len(names), "matrices") as line:
        schemes = dict.fromkeys(names, SCHEMES[kind])
        quantize_model(found.model, schemes, [], on_layer=lambda _: line.advance())
    if kept is None:
        return found
    run = run_record(config={"scheme": kind}, parent=path, parent_name=name)
    save_checkpoint(kept, model=found.model, tokenizer=found.tokenizer, run=run, generation=found.generation)
    say(f"the base, rounded to {kind}, is kept in {kept}: the adapter is for it")
    return Checkpoint(found.model, found.tokenizer, run, found.generation, kept, "shizuku")


def put_adapter(model: nn.Module, config: AdapterConfig, base: Base, *, seed: int) -> None:
    """Put a new adapter on a model that is that of `base`, or was made from it; ConfigError for encoders."""
    if architecture_of(base.model.config).runs == "whole":
        raise ConfigError(
            f"--lora.rank {config.rank}: adapters are for decoders, {base.name} is an encoder: leave it out, "
            "and the whole model is trained"
        )
    attach(model, config, seed=seed)
    name_base(model, base.name, checkpoint_digest(base.weights))


def _packed(path: Path) -> Checkpoint:
    if is_adapter(path):
        raise ConfigError(f"--base packed: {path} is an adapter: merge it first (shizuku merge)")
    if kind_of(path) == "gguf":
        return load_gguf_packed(path)
    found = load_checkpoint(path)
    if not is_quantized(found.model):
        raise ConfigError(
            f"--base packed: the matrices in {path} are floats: --base int4 or codebook4 rounds them, "
            "shizuku quantize does so with more care"
        )
    for name, layer in quantized_layers(found.model).items():
        # A table is used whole in every step, and would lie beside its packed form anyway.
        if name in TABLES:
            assert isinstance(layer, QuantizedLinear | QuantizedEmbedding), "the two kinds of packed layers"
            put_layer(found.model, name, layer.dequantize())
    return found
