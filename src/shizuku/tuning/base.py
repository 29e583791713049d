"""The model that tuning begins with: in floats, packed as it lies there, or rounded first; with an adapter on
it where one is to be trained.
"""

from pathlib import Path

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
from shizuku.errors import ConfigError
from shizuku.models.architectures import Ability, require
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
from shizuku.tuning.config import BaseKind

ROUNDED = "base"
"""Folder, in that of the adapter, of a base that was rounded for it."""


def open_base(
    path: Path, kind: BaseKind, *, name: str, out: Path | None, needs: Ability = "generate"
) -> Checkpoint:
    """Open the checkpoint at `path`, called `name`, as `kind` says.

    A base that is rounded is kept in `out`/base, from where a resumed run takes it; nothing is written
    without `out`. ConfigError for a checkpoint that can't be had like this, ModelError for one without the
    ability that it needs.
    """
    found = _opened(path, kind, name=name, out=out)
    require(found.model.config, needs)
    return found


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


def put_adapter(model: nn.Module, config: AdapterConfig, base: Path, *, name: str, seed: int) -> None:
    """Put a new adapter on a model that was opened from `base`, which is called `name`."""
    attach(model, config, seed=seed)
    name_base(model, name, checkpoint_digest(base))


def lasting_name(given: str, path: Path) -> str:
    """A model's name, or its whole path where a path was given, so that it is found from anywhere."""
    return str(path.resolve()) if Path(given).expanduser().exists() else given


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
