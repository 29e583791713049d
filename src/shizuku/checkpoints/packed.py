"""Checkpoints without torch: the config, the tokenizer, and every weight packed as it lies in the file.

What a native step takes is a view of the mapped file wherever our rows stand together there; only rows in
another order (Llama's queries and keys in GGUF, heads that stand together in GPT-NeoX), matrices that are
stored as [inputs, outputs], vectors in another type than float32, and layers that Shizuku has quantised are
copied. Nothing is rounded again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shizuku.checkpoints.gguf import as_here, read_gguf
from shizuku.checkpoints.gguf_tensors import GGUFFile
from shizuku.checkpoints.huggingface import (
    QUANTIZED_MODEL_TYPE,
    directory_sources,
    read_config,
    read_json,
    weight_files,
)
from shizuku.checkpoints.kinds import Kind, kind_of
from shizuku.checkpoints.memory import check_fits
from shizuku.checkpoints.quantized_arrays import quantized_tensors
from shizuku.checkpoints.safetensors_file import places_in
from shizuku.checkpoints.stored import Stored, packed_tensor, stored_in_gguf, stored_in_safetensors
from shizuku.checkpoints.undisturbed import (
    check_listed,
    check_pulled,
    load_generation,
    load_run,
    tokenizer_of_directory,
    tokenizer_of_gguf,
    undisturbed,
)
from shizuku.checkpoints.weights import Source, take_all
from shizuku.errors import CheckpointError
from shizuku.models.decoder_config import DecoderConfig
from shizuku.models.parameter_shapes import parameter_shapes
from shizuku.quantization.packed import PackedTensor
from shizuku.quantization.packed_numbers import NUMBERS
from shizuku.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class PackedCheckpoint:
    """A model and what belongs to it, as they lie on the disk."""

    config: DecoderConfig
    """Every mechanism."""
    tensors: Mapping[str, PackedTensor]
    """Every weight, under the names and in the order of the decoder's state_dict; vectors are float32 of
    shape (1, n).
    A mapped file stays mapped as long as one of them is held."""
    tokenizer: Tokenizer | None
    """Its tokenizer, or None where the checkpoint has none."""
    metadata: Mapping[str, Any]
    """The keys of config.json, or GGUF's metadata without the tokenizer."""
    run: Mapping[str, Any]
    """The run record; empty for models from elsewhere."""
    generation: Mapping[str, Any]
    """What generation_config.json says; empty where there is none."""
    path: Path
    """Where it is."""
    kind: Kind
    """shizuku, huggingface or gguf."""

    @property
    def bytes(self) -> int:
        """Bytes of all weights."""
        return sum(tensor.data.nbytes for tensor in self.tensors.values())


def open_packed(path: str | Path, *, verify: bool = True) -> PackedCheckpoint:
    """Open a checkpoint directory, a Hugging Face directory or a `.gguf` file (see `resolve` for names).

    Raises what `load_checkpoint` raises, in the same words: CheckpointError for what is missing, damaged,
    foreign, not finite or larger than the memory (here the packed bytes count), TokenizerError for a broken
    tokenizer. CheckpointError also names a tensor of a type that no kind of `PackedKind` is.
    """
    path = Path(path)

    def load() -> PackedCheckpoint:
        kind = kind_of(path)
        return _open_gguf(path, verify=verify) if kind == "gguf" else _open_directory(path, kind, verify)

    return undisturbed(path, load)


# ---- GGUF


def _open_gguf(path: Path, *, verify: bool) -> PackedCheckpoint:
    check_fits(f"the model in {path}", path.stat().st_size)
    try:
        file = GGUFFile(path)
        if verify:
            check_pulled(path)
        config, sources = read_gguf(file)
        stored = {
            name: stored_in_gguf(file, name) for name in dict.fromkeys(source.theirs for source in sources)
        }
        arrays = {name: tensor.array for name, tensor in stored.items()}
        tensors = _packed(config, sources, stored, as_here(file, arrays, config))
    except CheckpointError as error:
        raise (error if str(path) in str(error) else CheckpointError(f"{path}: {error}")) from error
    tokenizer = tokenizer_of_gguf(path, file.metadata)
    metadata = {key: value for key, value in file.metadata.items() if not key.startswith("tokenizer.")}
    return PackedCheckpoint(config, tensors, tokenizer, metadata, {}, {}, path, "gguf")


# ---- directories


def _open_directory(path: Path, kind: Kind, verify: bool) -> PackedCheckpoint:
    run = load_run(path)
    config, keys = read_config(path), read_json(path / "config.json")
    files = weight_files(path)
    check_fits(f"the model in {path}", sum(file.stat().st_size for file in files))
    if verify:
        check_listed(path, run)
    # The one place where directories differ in how their weights lie there.
    read = quantized_tensors if keys.get("model_type") == QUANTIZED_MODEL_TYPE else _floats_in_directory
    try:
        tensors = read(config, keys, files)
    except CheckpointError as error:
        raise (error if str(path) in str(error) else CheckpointError(f"{path}: {error}")) from error
    tokenizer = tokenizer_of_directory(path)
    return PackedCheckpoint(config, tensors, tokenizer, keys, run, load_generation(path), path, kind)


def _floats_in_directory(
    config: DecoderConfig, keys: Mapping[str, Any], files: list[Path]
) -> dict[str, PackedTensor]:
    """The tensors of a directory whose weights are floats under the names of its family."""
    places = places_in(files)

    def stored(name: str) -> Stored:
        return stored_in_safetensors(name, *places[name])

    def same(one: str, other: str) -> bool:
        first, second = stored(one), stored(other)
        return first.kind == second.kind and np.array_equal(first.array, second.array)

    shapes = {name: entry.shape for name, (_, entry) in places.items()}
    sources = directory_sources(keys.get("model_type"), config, shapes, same=same)
    found = {name: stored(name) for name in dict.fromkeys(source.theirs for source in sources)}
    return _packed(config, sources, found, {name: tensor.array for name, tensor in found.items()})


def _packed(
    config: DecoderConfig,
    sources: list[Source],
    stored: Mapping[str, Stored],
    here: Mapping[str, np.ndarray],
) -> dict[str, PackedTensor]:
    """Every tensor of ours from the arrays of `here`, which are those of `stored` in our rotary order."""
    tensors = {}
    for source, rows in take_all(sources, here):
        kind = stored[source.theirs].kind
        if source.entry.transposed and kind not in NUMBERS:
            raise CheckpointError(
                f"tensor {source.theirs} is packed as {kind} and stored as [inputs, outputs], so its rows "
                "here are no rows there"
            )
        tensors[source.ours] = packed_tensor(source.ours, source.shape, kind, rows)
    return {name: tensors[name] for name in parameter_shapes(config)}
