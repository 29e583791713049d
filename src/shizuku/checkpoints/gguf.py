"""GGUF files: read whatever the `gguf` package can dequantise, write float and simple quantised types.

Torch and the `gguf` package are imported by what gives or takes tensors, and by nothing else.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shizuku.checkpoints.families import Family, families
from shizuku.checkpoints.gguf_settings import read_settings, write_settings
from shizuku.checkpoints.gguf_tensors import GGUFFile, GGUFTensors
from shizuku.checkpoints.weights import (
    Rows,
    Source,
    Weight,
    few,
    find_sources,
    take_all,
    to_theirs,
    weight,
    written_out,
)
from shizuku.config import to_dict
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.decoder_config import DecoderConfig
from shizuku.progress import warn_once

if TYPE_CHECKING:
    import gguf
    from torch import Tensor

    from shizuku.text.tokenizer import Tokenizer

_ATTENTION = "blocks.{n}.attention."
_SEPARATE = tuple(
    entry
    for theirs, ours in (("attn_q", "query"), ("attn_k", "key"), ("attn_v", "value"))
    for entry in weight(f"blk.{{n}}.{theirs}", _ATTENTION + ours)
)
_FUSED = weight("blk.{n}.attn_qkv", *(_ATTENTION + name for name in ("query", "key", "value")))
_REST = (
    *weight("token_embd", "embedding"),
    *weight("token_embd_norm", "embedding_norm"),
    *weight("position_embd", "position_embedding"),
    *weight("blk.{n}.attn_norm", "blocks.{n}.attention_norm"),
    *weight("blk.{n}.attn_q_norm", _ATTENTION + "query_norm"),
    *weight("blk.{n}.attn_k_norm", _ATTENTION + "key_norm"),
    *weight("blk.{n}.attn_output", _ATTENTION + "output"),
    *weight("blk.{n}.post_attention_norm", "blocks.{n}.attention_output_norm"),
    *weight("blk.{n}.ffn_norm", "blocks.{n}.feedforward_norm"),
    *weight("blk.{n}.post_ffw_norm", "blocks.{n}.feedforward_output_norm"),
    *weight("blk.{n}.ffn_gate", "blocks.{n}.feedforward.gate"),
    *weight("blk.{n}.ffn_up", "blocks.{n}.feedforward.up"),
    *weight("blk.{n}.ffn_down", "blocks.{n}.feedforward.down"),
    *weight("output_norm", "final_norm"),
    *weight("output", "unembedding"),
)
FILE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1")
"""What `write_gguf` can write: the types of the matrices."""


def open_gguf(path: str | Path) -> "tuple[DecoderConfig, dict[str, Tensor], dict[str, Any]]":
    """Return the config, the weights (our names, float32) and the metadata of a GGUF file.

    A file that is damaged, of an unknown architecture, or with settings or tensors that are not understood
    raises CheckpointError naming the file.
    """
    path = Path(path)
    try:
        tensors = GGUFTensors(path)
        config, sources = read_gguf(tensors)
        here = as_here(tensors, tensors, config)
        found = {source.ours: rows.contiguous() for source, rows in take_all(sources, here)}
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return config, found, dict(tensors.metadata)


def read_gguf(file: GGUFFile) -> tuple[DecoderConfig, list[Source]]:
    """Return the config of a GGUF file, and where each of our tensors is found in it; see `as_here`.

    Raises CheckpointError as `open_gguf`.
    """
    config = _config(_family(file.metadata), file)
    table = (*_REST, *(_FUSED if "blk.0.attn_qkv.weight" in file.entries else _SEPARATE))
    sources, strangers = find_sources(table, config, file.shapes, lambda name: (name,))
    if strangers:
        raise CheckpointError(f"{len(strangers)} tensors are not part of the model: {few(strangers)}")
    return config, sources


def as_here(file: GGUFFile, tensors: Mapping[str, Rows], config: DecoderConfig) -> Mapping[str, Rows]:
    """Return a file's tensors with query and key rows in our rotary order, and norms without the offset that
    GGUF adds.
    """
    permuted = _family(file.metadata).gguf_permuted
    heads = {"attn_q": config.heads, "attn_k": config.kv_heads} if permuted else {}
    return _AsHere(tensors, heads, config.norm_offset)


def _family(metadata: Mapping[str, Any]) -> Family:
    architecture = metadata.get("general.architecture")
    known = {f.gguf_architecture: f for f in families().values() if f.gguf_architecture is not None}
    if not isinstance(architecture, str) or architecture not in known:
        names = ", ".join(sorted(known))
        raise CheckpointError(
            f"the architecture {architecture!r} is not known here; known in GGUF are {names}"
        )
    return known[architecture]


def _config(family: Family, file: GGUFFile) -> DecoderConfig:
    prefix = f"{family.gguf_architecture}."
    settings = {
        key.removeprefix(prefix): value for key, value in file.metadata.items() if key.startswith(prefix)
    }
    embedding = file.entries.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise CheckpointError("there is no matrix token_embd.weight")
    return read_settings(family, settings, file.entries, embedding.shape[0])


class _AsHere(Mapping[str, Rows]):
    """See `as_here`."""

    def __init__(self, tensors: Mapping[str, Rows], heads: Mapping[str, int], offset: bool) -> None:
        self._tensors: Mapping[str, Rows] = tensors
        self._heads = heads
        self._offset = offset

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __getitem__(self, name: str) -> Rows:
        heads = self._heads.get(name.split(".")[-2])
        if self._offset and name.endswith("norm.weight"):
            return self._tensors[name] - 1
        return self._tensors[name] if heads is None else half_split(self._tensors[name], heads)


def half_split(rows: Rows, heads: int) -> Rows:
    """Return query or key rows in the half-split rotary order, from GGUF's interleaved order (Llama only)."""
    pairs = rows.reshape(heads, -1, 2, *rows.shape[1:])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def interleaved(rows: Rows, heads: int) -> Rows:
    """Undo `half_split`."""
    halves = rows.reshape(heads, 2, -1, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def write_gguf(
    path: str | Path,
    config: DecoderConfig,
    tensors: "Mapping[str, Tensor]",
    tokenizer: "Tokenizer | None" = None,
    file_type: str = "f32",
    *,
    name: str = "shizuku",
) -> None:
    """Write a model (tensors under our names, floating point) and its tokenizer as one GGUF file.

    `file_type` is f32, f16, bf16, q8_0, q4_0 or q4_1: the type of the matrices. Norms, biases and position
    tables stay float32; with 4 bits the embedding and output matrices keep 8; a matrix whose rows are no
    multiple of the block of 32 keeps 16, and it is said. A config without a GGUF architecture raises
    CheckpointError.
    The caller makes the writing atomic.
    """
    import gguf

    from shizuku.checkpoints.gguf_tokenizer import add_tokenizer

    family = _family_for(config)
    if file_type not in FILE_TYPES:
        raise CheckpointError(f"--type {file_type!r} is not known; choose from {', '.join(FILE_TYPES)}")
    assert family.gguf_architecture is not None, "the family was chosen because it has one"
    writer = gguf.GGUFWriter(str(path), family.gguf_architecture)
    writer.add_name(name)
    prefix = "ALL" if file_type == "f32" else "MOSTLY"
    writer.add_file_type(gguf.LlamaFileType[f"{prefix}_{file_type.upper()}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    table = (*_REST, *(_FUSED if family.gguf_fused else _SEPARATE))
    entries = list(written_out(table, config, tensors))
    _add_settings(writer, write_settings(family, config, {entry.theirs for entry in entries}))
    if tokenizer is not None:
        add_tokenizer(writer, tokenizer, config.vocab_size)
    for entry in entries:
        _add_tensor(writer, family, config, entry, to_theirs(entry, tensors), file_type)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        writer.close()


def _able(config: DecoderConfig) -> Family | None:
    """Return the first family with a GGUF architecture that can express the config."""
    able = (family for family in families().values() if family.gguf_architecture is not None)
    return next((family for family in able if family.write(config) is not None), None)


def _family_for(config: Any) -> Family:
    if not isinstance(config, DecoderConfig):
        raise CheckpointError(
            f"GGUF files are written of decoders alone, and this model is of the architecture "
            f"{config.ARCHITECTURE}: its own directory is what Shizuku opens"
        )
    family = _able(config)
    if family is not None:
        return family
    if config.experts:
        raise CheckpointError(
            f"GGUF files of models with experts ({config.experts} here) are not written: choose --format hf"
        )
    single, whole = _in_the_way(config), json.dumps(to_dict(config))
    known = ", ".join(sorted(filter(None, (one.gguf_architecture for one in families().values()))))
    raise CheckpointError(
        f"no GGUF architecture has the mechanisms of this model (known: {known}); "
        + (f"without {' or '.join(single)} it could be written" if single else f"its config is {whole}")
    )


def _in_the_way(config: DecoderConfig) -> list[str]:
    """Return the settings any one of which, at its default, would leave a model that can be written."""
    found = []
    for field in fields(config):
        value = getattr(config, field.name)
        if field.default in (MISSING, value):
            continue
        changes: dict[str, Any] = {field.name: field.default}
        if field.name == "sliding_window":
            changes["sliding_layers"] = None
        try:
            plainer = replace(config, **changes)
        except ConfigError:
            continue
        if _able(plainer) is not None:
            found.append(f"{field.name} {value!r}")
    return found


def _add_settings(writer: "gguf.GGUFWriter", settings: Mapping[str, Any]) -> None:
    for key, value in settings.items():
        name = f"{writer.arch}.{key}"
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        else:
            writer.add_string(name, value)


def _add_tensor(
    writer: "gguf.GGUFWriter",
    family: Family,
    config: DecoderConfig,
    entry: Weight,
    tensor: "Tensor",
    file_type: str,
) -> None:
    import gguf
    import torch

    part = entry.theirs.split(".")[-2]
    if family.gguf_permuted and part in ("attn_q", "attn_k"):
        tensor = interleaved(tensor, config.heads if part == "attn_q" else config.kv_heads)
    if config.norm_offset and entry.theirs.endswith("norm.weight"):
        tensor = tensor + 1
    kind = gguf.GGMLQuantizationType[file_type.upper()]
    if tensor.dim() == 1 or part == "position_embd":
        kind = gguf.GGMLQuantizationType.F32
    elif file_type in ("q4_0", "q4_1") and part in ("token_embd", "output"):
        kind = gguf.GGMLQuantizationType.Q8_0
    if tensor.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0]:
        warn_once(
            f"{part}: rows of {tensor.shape[-1]} are no multiple of 32: kept in float16, not {kind.name}"
        )
        kind = gguf.GGMLQuantizationType.F16
    data = gguf.quants.quantize(tensor.to(torch.float32).contiguous().numpy(), kind)
    writer.add_tensor(entry.theirs, data, raw_dtype=kind)
