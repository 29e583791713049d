"""`shizuku quantize`: a model in fewer bits, and what it costs in quality."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from shizuku.config import VerbConfig
from shizuku.quantization.scheme import SCHEMES, Scheme, for_tables


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VerbConfig):
    """Store a model's matrices in fewer bits, and measure what that changes."""

    model: tyro.conf.Positional[str]
    """A name, a checkpoint directory, a Hugging Face directory or a .gguf file."""
    scheme: str = "int8"
    """A scheme by name."""
    text: tuple[Path, ...]
    """Text to measure on."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Directory of the packed checkpoint."""


def run(config: Config) -> dict[str, object]:
    """Quantize, save, compare."""
    from shizuku.checkpoints.directory import (
        load_checkpoint,
        load_model,
        resolve,
        run_record,
        save_checkpoint,
    )
    from shizuku.config import to_dict
    from shizuku.evaluation.divergence import compare, token_windows
    from shizuku.quantization.matrices import quantize_matrix
    from shizuku.quantization.surgery import TABLES, matrices, pack_layer
    from shizuku.text.documents import read_documents

    begun = time.perf_counter()
    source = resolve(config.model)
    checkpoint = load_checkpoint(source)
    scheme: Scheme = SCHEMES[config.scheme]
    for name, layer in matrices(checkpoint.model).items():
        chosen = for_tables(scheme, None) if name in TABLES else scheme
        if chosen is not None:
            pack_layer(checkpoint.model, name, *quantize_matrix(layer.weight, chosen))  # type: ignore[arg-type]
    path = save_checkpoint(
        config.out,
        model=checkpoint.model,
        tokenizer=checkpoint.tokenizer,
        run=run_record(config=to_dict(config), parent=source, parent_name=config.model),
        generation=checkpoint.generation,
    )
    size = (path / "model.safetensors").stat().st_size
    assert checkpoint.tokenizer is not None
    windows = token_windows(checkpoint.tokenizer, read_documents(config.text), tokens=32768, window=256)
    found = compare(load_model(source, verify=False), checkpoint.model, windows)
    weights = sum(math.prod(layer.shape) for layer in load_model(source, verify=False).parameters())
    return {
        "checkpoint": str(path),
        "bytes": size,
        "bits_per_weight": 8 * size / weights,
        "perplexity_before": found.perplexity_before,
        "perplexity_after": found.perplexity_after,
        "kl": found.kl,
        "seconds": round(time.perf_counter() - begun, 3),
    }


def show(result: dict[str, object]) -> None:
    """The keys."""
    for name, value in result.items():
        print(f"{name:<20}{value}")
