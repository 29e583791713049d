"""Checkpoints without torch: the config, the tokenizer, and every weight packed as it lies in the file.

Nothing is dequantised. What a native step takes is a view of the mapped file wherever our rows stand together
there; only rows in another order (Llama's queries and keys in GGUF, heads that stand together in GPT-NeoX),
matrices that are stored as [inputs, outputs] and vectors in another type than float32 are copied.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shizuku.checkpoints.gguf import as_here, read_gguf
from shizuku.checkpoints.gguf_tensors import GGUFFile, dequantised, kind_name
from shizuku.checkpoints.home import check_pulled
from shizuku.checkpoints.huggingface import directory_sources, read_config, read_json, weight_files
from shizuku.checkpoints.kinds import Kind, kind_of
from shizuku.checkpoints.memory import check_fits
from shizuku.checkpoints.safetensors_file import SafetensorsEntry, SafetensorsFile
from shizuku.checkpoints.undisturbed import (
    check_listed,
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
from shizuku.quantization.packed import BLOCKS, PackedKind, PackedTensor
from shizuku.quantization.packed_numbers import NUMBERS, as_float32, not_finite
from shizuku.text.tokenizer import Tokenizer

_GGML: dict[int, PackedKind] = {
    0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 8: "q8_0", 12: "q4_k", 13: "q5_k", 14: "q6_k",
    30: "bf16",
}  # fmt: skip
"""The kinds under ggml's numbers for them."""
_SAFETENSORS: dict[str, PackedKind] = {"F32": "f32", "F16": "f16", "BF16": "bf16"}
"""The kinds under the names that safetensors has for them."""


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


@dataclass(frozen=True, slots=True)
class _Stored:
    """A tensor under its foreign name."""

    kind: PackedKind
    array: np.ndarray
    """Numbers [rows, columns] of the float kinds (bfloat16 as uint16), bytes [rows, bytes of a row] of the
    others; vectors [n] always float32."""


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
            name: _stored_in_gguf(file, name) for name in dict.fromkeys(source.theirs for source in sources)
        }
        arrays = {name: tensor.array for name, tensor in stored.items()}
        tensors = _packed(config, sources, stored, as_here(file, arrays, config))
    except CheckpointError as error:
        raise (error if str(path) in str(error) else CheckpointError(f"{path}: {error}")) from error
    tokenizer = tokenizer_of_gguf(path, file.metadata)
    metadata = {key: value for key, value in file.metadata.items() if not key.startswith("tokenizer.")}
    return PackedCheckpoint(config, tensors, tokenizer, metadata, {}, {}, path, "gguf")


def _stored_in_gguf(file: GGUFFile, name: str) -> _Stored:
    entry = file.entries[name]
    kind = _GGML.get(entry.kind)
    if len(entry.shape) == 1 and kind != "f32":
        return _Stored("f32", dequantised(file, name))
    if kind is None:
        raise _not_packed(name, kind_name(entry.kind))
    rows = file.rows(name, *BLOCKS[kind])
    return _Stored(kind, rows.view(NUMBERS[kind]) if kind in NUMBERS else rows)


# ---- directories


def _open_directory(path: Path, kind: Kind, verify: bool) -> PackedCheckpoint:
    run = load_run(path)
    config, keys = read_config(path), read_json(path / "config.json")
    files = weight_files(path)
    check_fits(f"the model in {path}", sum(file.stat().st_size for file in files))
    if verify:
        check_listed(path, run)
    tensors = _floats_in_directory(path, config, files)
    tokenizer = tokenizer_of_directory(path)
    return PackedCheckpoint(config, tensors, tokenizer, keys, run, load_generation(path), path, kind)


def _floats_in_directory(path: Path, config: DecoderConfig, files: list[Path]) -> dict[str, PackedTensor]:
    """The tensors of a directory whose weights are floats under the names of its family."""
    places: dict[str, tuple[SafetensorsFile, SafetensorsEntry]] = {}
    for opened in map(SafetensorsFile, files):
        places.update((name, (opened, entry)) for name, entry in opened.entries.items())

    def stored(name: str) -> _Stored:
        return _stored_in_safetensors(name, *places[name])

    def same(one: str, other: str) -> bool:
        first, second = stored(one), stored(other)
        return first.kind == second.kind and np.array_equal(first.array, second.array)

    try:
        shapes = {name: entry.shape for name, (_, entry) in places.items()}
        sources = directory_sources(path, config, shapes, same=same)
        found = {name: stored(name) for name in dict.fromkeys(source.theirs for source in sources)}
        return _packed(config, sources, found, {name: tensor.array for name, tensor in found.items()})
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _stored_in_safetensors(name: str, file: SafetensorsFile, entry: SafetensorsEntry) -> _Stored:
    data = file.bytes_of(name)
    if entry.dtype == "F64":
        with np.errstate(over="ignore"):  # what becomes infinite is refused by its name
            return _Stored("f32", data.view("<f8").reshape(entry.shape).astype(np.float32))
    kind = _SAFETENSORS.get(entry.dtype)
    if kind is None:
        raise _not_packed(name, entry.dtype)
    array = data.view(NUMBERS[kind]).reshape(entry.shape)
    return _Stored("f32", as_float32(kind, array)) if array.ndim == 1 else _Stored(kind, array)


# ---- both


def _packed(
    config: DecoderConfig,
    sources: list[Source],
    stored: Mapping[str, _Stored],
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
        columns = source.shape[-1]
        height = source.shape[0] if len(source.shape) > 1 else 1
        # Contiguous and aligned, which only changes rows that are not so already.
        data = np.require(rows, requirements=["C", "A"]).reshape(height, -1).view(np.uint8)
        tensor = PackedTensor(kind, (height, columns), data)
        bad = not_finite(tensor)
        if bad:
            raise CheckpointError(
                f"{bad} of the {height * columns} numbers in {source.ours} are NaN or infinite. "
                "Take an earlier checkpoint; if training made it, lower the learning rate"
            )
        tensors[source.ours] = tensor
    return {name: tensors[name] for name in parameter_shapes(config)}


def _not_packed(name: str, kind: str) -> CheckpointError:
    known = ", ".join(BLOCKS)
    return CheckpointError(
        f"tensor {name} is of type {kind}, which cannot be used as it is packed; these can: {known}"
    )
