"""GGUF files: read whatever the `gguf` package can dequantise, write float and simple quantised types."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

from shizuku.checkpoints.families import Family, families
from shizuku.checkpoints.gguf_tensors import GGUFTensors
from shizuku.checkpoints.gguf_tokenizer import add_tokenizer
from shizuku.checkpoints.huggingface import huggingface_family
from shizuku.checkpoints.weights import Weight, few, to_ours, to_theirs, weight, written_out
from shizuku.config import from_dict, to_dict
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.decoder import DecoderConfig
from shizuku.progress import warn_once
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
    *weight("position_embd", "position_embedding"),
    *weight("blk.{n}.attn_norm", "blocks.{n}.attention_norm"),
    *weight("blk.{n}.attn_q_norm", _ATTENTION + "query_norm"),
    *weight("blk.{n}.attn_k_norm", _ATTENTION + "key_norm"),
    *weight("blk.{n}.attn_output", _ATTENTION + "output"),
    *weight("blk.{n}.ffn_norm", "blocks.{n}.feedforward_norm"),
    *weight("blk.{n}.ffn_gate", "blocks.{n}.feedforward.gate"),
    *weight("blk.{n}.ffn_up", "blocks.{n}.feedforward.up"),
    *weight("blk.{n}.ffn_down", "blocks.{n}.feedforward.down"),
    *weight("output_norm", "final_norm"),
    *weight("output", "unembedding"),
)
_BIASES = {
    "attn_q.bias": "attention_bias",
    "attn_output.bias": "attention_output_bias",
    "ffn_up.bias": "mlp_bias",
}
"""Biases that a file has or not, without its metadata saying so."""

FILE_TYPES: dict[str, tuple[gguf.LlamaFileType, gguf.GGMLQuantizationType]] = {
    "f32": (gguf.LlamaFileType.ALL_F32, gguf.GGMLQuantizationType.F32),
    "f16": (gguf.LlamaFileType.MOSTLY_F16, gguf.GGMLQuantizationType.F16),
    "bf16": (gguf.LlamaFileType.MOSTLY_BF16, gguf.GGMLQuantizationType.BF16),
    "q8_0": (gguf.LlamaFileType.MOSTLY_Q8_0, gguf.GGMLQuantizationType.Q8_0),
    "q4_0": (gguf.LlamaFileType.MOSTLY_Q4_0, gguf.GGMLQuantizationType.Q4_0),
    "q4_1": (gguf.LlamaFileType.MOSTLY_Q4_1, gguf.GGMLQuantizationType.Q4_1),
}
"""What `write_gguf` can write: the file's type and that of its matrices."""


def open_gguf(path: str | Path) -> tuple[DecoderConfig, dict[str, Tensor], dict[str, Any]]:
    """Return the config, the weights (our names, float32) and the metadata of a GGUF file.

    A file that is damaged, of an unknown architecture, or with settings or tensors that are not understood
    raises CheckpointError naming the file.
    """
    path = Path(path)
    try:
        tensors = GGUFTensors(path)
        family = _family(tensors.metadata)
        config = _config(family, tensors)
        table = (*_REST, *(_FUSED if "blk.0.attn_qkv.weight" in tensors else _SEPARATE))
        heads = {"attn_q": config.heads, "attn_k": config.kv_heads} if family.gguf_permuted else {}
        found, strangers = to_ours(table, config, _HalfSplit(tensors, heads), lambda name: (name,))
        if strangers:
            raise CheckpointError(f"{len(strangers)} tensors are not part of the model: {few(strangers)}")
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return config, found, dict(tensors.metadata)


def _family(metadata: Mapping[str, Any]) -> Family:
    architecture = metadata.get("general.architecture")
    known = {family.gguf_architecture: family for family in families().values()}
    if architecture not in known:
        raise CheckpointError(
            f"the architecture {architecture!r} is not known here; known in GGUF are {', '.join(known)}"
        )
    return known[architecture]


def _config(family: Family, file: GGUFTensors) -> DecoderConfig:
    prefix = f"{family.gguf_architecture}."
    settings = {
        key.removeprefix(prefix): value for key, value in file.metadata.items() if key.startswith(prefix)
    }
    epsilon = "layer_norm_rms_epsilon" if family.fixed["norm"] == "rmsnorm" else "layer_norm_epsilon"
    embedding = file.entries.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise CheckpointError("there is no matrix token_embd.weight")
    try:
        values = {
            **family.fixed,
            **family.gguf_fixed,
            "vocab_size": embedding.shape[0],
            "context": settings.pop("context_length"),
            "width": settings.pop("embedding_length"),
            "layers": settings.pop("block_count"),
            "heads": (heads := settings.pop("attention.head_count")),
            "kv_heads": settings.pop("attention.head_count_kv", heads),
            "head_width": settings.pop("attention.key_length", 0),
            "ffn_width": settings.pop("feed_forward_length"),
            "norm_eps": _shortest(settings.pop(f"attention.{epsilon}")),
            "rope_theta": _shortest(settings.pop("rope.freq_base", 10_000.0)),
            "tie_embeddings": "output.weight" not in file.entries,
        }
        for bias, field in _BIASES.items():
            values.setdefault(field, f"blk.0.{bias}" in file.entries)
        config = from_dict(DecoderConfig, values)
    except KeyError as error:
        raise CheckpointError(f"the metadata lacks {prefix}{error.args[0]}") from error
    except ConfigError as error:
        raise CheckpointError(f"the metadata does not hold together: {error}") from error
    _refuse_unknown(prefix, settings, config)
    return config


def _refuse_unknown(prefix: str, settings: Mapping[str, Any], config: DecoderConfig) -> None:
    harmless: dict[str, tuple[Any, ...]] = {
        "vocab_size": (settings.get("vocab_size"),),
        "tensor_data_layout": (settings.get("tensor_data_layout"),),
        "attention.value_length": (config.head_width,),
        "rope.dimension_count": (config.head_width,),
        "rope.scaling.type": ("none",),
        "attention.causal": (True,),
    }
    for key, value in settings.items():
        if value not in harmless.get(key, ()) and value not in (0, None, ""):
            raise CheckpointError(
                f"metadata {prefix}{key} = {value!r} is not understood: the model may have a mechanism "
                "that is missing here, so it is refused"
            )


def _shortest(value: Any) -> Any:
    """Return the shortest decimal that a float32 of the file stands for: 1e-5 is stored as 9.99999975e-06."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


class _HalfSplit(Mapping[str, Tensor]):
    """Tensors whose query and key rows are turned from GGUF's interleaved rotary order into ours."""

    def __init__(self, tensors: Mapping[str, Tensor], heads: Mapping[str, int]) -> None:
        self._tensors = tensors
        self._heads = heads

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __getitem__(self, name: str) -> Tensor:
        heads = self._heads.get(name.split(".")[-2])
        return self._tensors[name] if heads is None else half_split(self._tensors[name], heads)


def half_split(rows: Tensor, heads: int) -> Tensor:
    """Return query or key rows in the half-split rotary order, from GGUF's interleaved order (Llama only)."""
    pairs = rows.reshape(heads, -1, 2, *rows.shape[1:])
    return pairs.transpose(1, 2).reshape(rows.shape)


def interleaved(rows: Tensor, heads: int) -> Tensor:
    """Undo `half_split`."""
    halves = rows.reshape(heads, 2, -1, *rows.shape[1:])
    return halves.transpose(1, 2).reshape(rows.shape)


def write_gguf(
    path: str | Path,
    config: DecoderConfig,
    tensors: Mapping[str, Tensor],
    tokenizer: Tokenizer | None = None,
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
    family = huggingface_family(config)
    if family is None:
        single, whole = _in_the_way(config), json.dumps(to_dict(config))
        raise CheckpointError(
            f"no GGUF architecture has the mechanisms of this model (known: {', '.join(families())}); "
            + (f"without {' or '.join(single)} it could be written" if single else f"its config is {whole}")
        )
    if file_type not in FILE_TYPES:
        raise CheckpointError(f"--type {file_type!r} is not known; choose from {', '.join(FILE_TYPES)}")
    writer = gguf.GGUFWriter(str(path), family.gguf_architecture)
    writer.add_name(name)
    writer.add_file_type(FILE_TYPES[file_type][0])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_config(writer, family, config)
    if tokenizer is not None:
        add_tokenizer(writer, tokenizer, config.vocab_size)
    table = (*_REST, *(_FUSED if family.gguf_fused else _SEPARATE))
    for entry in written_out(table, config, tensors):
        _add_tensor(writer, family, config, entry, to_theirs(entry, tensors), file_type)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        writer.close()


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
        if huggingface_family(plainer) is not None:
            found.append(f"{field.name} {value!r}")
    return found


def _add_config(writer: gguf.GGUFWriter, family: Family, config: DecoderConfig) -> None:
    if config.sliding_window is not None:
        raise CheckpointError("sliding_window: GGUF's architectures here have no sliding windows")
    if any(getattr(config, field) != value for field, value in family.gguf_fixed.items()):
        raise CheckpointError(
            f"activation {config.activation!r}: in GGUF, {family.gguf_architecture} has {family.gguf_fixed}"
        )
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.ffn_width)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    if config.norm == "rmsnorm":
        writer.add_layer_norm_rms_eps(config.norm_eps)
    else:
        writer.add_layer_norm_eps(config.norm_eps)
    if config.positions == "rotary":
        writer.add_rope_freq_base(config.rope_theta)
        writer.add_rope_dimension_count(config.head_width)
        writer.add_key_length(config.head_width)
        writer.add_value_length(config.head_width)


def _add_tensor(
    writer: gguf.GGUFWriter,
    family: Family,
    config: DecoderConfig,
    entry: Weight,
    tensor: Tensor,
    file_type: str,
) -> None:
    part = entry.theirs.split(".")[-2]
    if family.gguf_permuted and part in ("attn_q", "attn_k"):
        tensor = interleaved(tensor, config.heads if part == "attn_q" else config.kv_heads)
    kind = FILE_TYPES[file_type][1]
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
