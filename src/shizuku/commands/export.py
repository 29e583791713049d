"""`shizuku export`: write a model in another format."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from shizuku.commands.going_on import next_verb
from shizuku.config import VerbConfig
from shizuku.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from shizuku.checkpoints.directory import Checkpoint

Stored = Literal["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"]
DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
"""Names of PyTorch's for the types that are no quantisation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VerbConfig):
    """Write a model as a Hugging Face directory or a GGUF file (llama.cpp, Ollama, LM Studio), or an n-gram
    model as an ARPA file (KenLM, SRILM).
    """

    model: tyro.conf.Positional[str]
    """A name, a checkpoint directory, a Hugging Face directory or a .gguf file."""
    format: Literal["gguf", "hf", "arpa"]
    """What to write: gguf, hf, or of an n-gram model arpa."""
    type: Stored = "f32"
    """How the matrices are stored; a Hugging Face directory takes f32, f16 or bf16, an ARPA file is text."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The GGUF file, or the directory."""

    def __post_init__(self) -> None:
        """ConfigError for a quantised Hugging Face directory."""
        if self.format == "hf" and self.type not in DTYPES:
            raise ConfigError(
                f"--type {self.type} is a type of GGUF's: choose f32, f16 or bf16 for --format hf, "
                "or --format gguf"
            )
        if self.format == "arpa" and self.type != "f32":
            raise ConfigError(f"--type {self.type}: an ARPA file is text, and has no types: leave it out")


def run(config: Config) -> dict[str, object]:
    """Load, write, and return path, bytes and seconds."""
    begun = time.perf_counter()
    if config.format == "arpa":
        size = _write_arpa(config)
    else:
        size = _write_floats(config)
    return {
        "path": str(config.out),
        "format": config.format,
        "type": config.type,
        "bytes": size,
        "seconds": round(time.perf_counter() - begun, 3),
    }


def _write_floats(config: Config) -> int:
    import torch

    from shizuku.checkpoints.directory import check_range, load_checkpoint, resolve
    from shizuku.quantization.surgery import dequantize

    source = resolve(config.model)
    _check_out(config, source)
    checkpoint = load_checkpoint(source)
    dequantize(checkpoint.model)
    if config.type in DTYPES:
        check_range(checkpoint.model.state_dict(), getattr(torch, DTYPES[config.type]))
    if config.format == "gguf":
        return _write_gguf(config, checkpoint)
    return _write_directory(config, checkpoint)


def show(result: dict[str, object]) -> None:
    """Where it is, how large, and how it is opened."""
    from shizuku.checkpoints.memory import readable

    size = result["bytes"]
    assert isinstance(size, int)
    print(f"{result['path']}  {readable(size)}")
    if result["format"] != "arpa":
        print(f"next: shizuku {next_verb(Path(str(result['path'])))}")


def _check_out(config: Config, source: Path) -> None:
    if config.out.exists() and config.out.resolve() == source.resolve():
        raise ConfigError(f"--out {config.out} is the model itself: give another place")
    if config.format == "gguf" and config.out.is_dir():
        raise ConfigError(
            f"--out {config.out} is a directory; a GGUF model is one file: give {config.out / 'model.gguf'}"
        )


def _write_arpa(config: Config) -> int:
    from shizuku.checkpoints.arpa import arpa_words, write_arpa
    from shizuku.checkpoints.names import resolve
    from shizuku.checkpoints.ngram import is_ngram, load_ngram

    source = resolve(config.model)
    if not is_ngram(source):
        raise CheckpointError(f"{config.model} is no n-gram model, and nothing else fits an ARPA file")
    found = load_ngram(source)
    if found.tokenizer is None:
        raise CheckpointError(f"{source} has no tokenizer, so nothing says what its tokens are called")
    words = arpa_words(found.tokenizer, found.model.vocab_size, opening=found.model.unpredicted)
    return write_arpa(config.out, found.model, words).stat().st_size


def _write_gguf(config: Config, checkpoint: "Checkpoint") -> int:
    from shizuku.checkpoints.gguf import write_gguf
    from shizuku.checkpoints.replacing import new_file

    model = checkpoint.model
    with new_file(config.out) as file:
        write_gguf(
            file, model.config, model.state_dict(), checkpoint.tokenizer, config.type, name=config.out.stem
        )
    return config.out.stat().st_size


def _write_directory(config: Config, checkpoint: "Checkpoint") -> int:
    import torch

    from shizuku.checkpoints.directory import run_record, save_checkpoint
    from shizuku.checkpoints.huggingface import huggingface_family

    if huggingface_family(checkpoint.model.config) is None:
        raise CheckpointError(
            f"{config.model}: no architecture of Hugging Face's has exactly its mechanisms, so nothing "
            "else would open the directory; the model's own directory is already what Shizuku opens"
        )
    run = checkpoint.run or run_record(parent=checkpoint.path, parent_name=config.model)
    path = save_checkpoint(
        config.out,
        model=checkpoint.model,
        tokenizer=checkpoint.tokenizer,
        run=run,
        generation=checkpoint.generation,
        dtype=getattr(torch, DTYPES[config.type]),
    )
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
