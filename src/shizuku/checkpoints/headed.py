"""Models with a head as Hugging Face directories: `LlamaForSequenceClassification` and its kin.

The config has the decoder's keys, the architecture's name, and the labels (`id2label`); the weights have
`score.weight` in the place of the output matrix, which nothing reads here and which is left out. With one
label the head gives a reward. transformers opens such a directory where it has the architecture, and takes
the last token that is not `pad_token_id` as the one that speaks for the row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shizuku.adapters.surgery import is_adapted, merge, put_weights
from shizuku.checkpoints.adapters import read_adapter, read_head
from shizuku.checkpoints.bases import base_of
from shizuku.checkpoints.directory import check_finite, load_checkpoint, storable
from shizuku.checkpoints.families import Family
from shizuku.checkpoints.huggingface import (
    HEADED,
    config_from_huggingface,
    directory_sources,
    family_of_type,
    huggingface_family,
    is_headed,
    read_json,
    stored_tensors,
    to_huggingface,
)
from shizuku.checkpoints.kinds import is_adapter, kind_of
from shizuku.checkpoints.memory import check_fits
from shizuku.checkpoints.undisturbed import check_listed, load_run, tokenizer_of_directory, undisturbed
from shizuku.checkpoints.weights import take_all
from shizuku.checkpoints.writing import bytes_of, write_directory, write_model
from shizuku.errors import CheckpointError
from shizuku.models.architectures import build
from shizuku.models.decoder_config import DecoderConfig
from shizuku.models.heads import HeadedDecoder
from shizuku.quantization.surgery import is_quantized
from shizuku.text.tokenizer import Tokenizer

SCORE = "score"
"""The head's matrix, as transformers names it in most families."""
HEAD = "head.weight"
HEAD_PARTS = ("weight", "bias")
"""What a head may have; a decoder's has no bias."""
CAUSAL = ("ForCausalLM", "LMHeadModel")
"""Ends of the architectures' names of decoders."""
OWN_ARCHITECTURE = "DecoderForSequenceClassification"
"""Written where no Hugging Face architecture can express the decoder."""
KEYS = ("id2label", "label2id", "num_labels", "problem_type", "architectures")
EXPECTED = "expected a reward model (shizuku reward) or a classifier (shizuku classify)"
_OUTPUT = ("unembedding.weight", "unembedding.bias")
"""Our names of the output matrix and its bias."""


@dataclass(frozen=True, slots=True)
class HeadedCheckpoint:
    """A model with a head and what belongs to it, as loaded from disk."""

    model: HeadedDecoder
    """The model, float32 on the CPU, in evaluation mode."""
    tokenizer: Tokenizer | None
    """Its tokenizer, or None where the checkpoint has none."""
    run: dict[str, Any]
    """The run record; empty for models from elsewhere."""
    path: Path
    """Where it was loaded from."""


def save_headed(
    directory: str | Path,
    *,
    model: HeadedDecoder,
    weights: Mapping[str, Tensor] | None = None,
    tokenizer: Tokenizer | None = None,
    run: Mapping[str, Any] | None = None,
    extra: Callable[[Path], None] | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write a checkpoint of a decoder with a head; arguments and errors as of `save_checkpoint`."""
    if is_adapted(model) or is_quantized(model):
        raise CheckpointError(
            f"the model to be saved in {directory} has an adapter or packed matrices: merge the adapter, or "
            "put the head on the float model"
        )
    if tokenizer is not None and tokenizer.vocab_size > model.config.vocab_size:
        raise CheckpointError(
            f"the tokenizer has {tokenizer.vocab_size} ids, but the model only {model.config.vocab_size}: "
            "save the model with the tokenizer that it was trained with"
        )
    weights = storable(model.state_dict() if weights is None else weights, Path(directory), dtype)
    foreign, tensors = to_headed_huggingface(model, weights)
    return write_directory(
        directory,
        lambda made: write_model(made, foreign, tensors, tokenizer, None),
        needed=bytes_of(tensors),
        run=run,
        extra=extra,
    )


def to_headed_huggingface(
    model: HeadedDecoder, weights: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The keys of config.json and the tensors of model.safetensors, as transformers opens them."""
    decoder = {
        name.removeprefix("decoder."): tensor
        for name, tensor in weights.items()
        if name.startswith("decoder.")
    }
    foreign, tensors = to_huggingface(_expressible(model.config), decoder)
    output = {"lm_head.weight", "lm_head.bias", *_OUTPUT}
    family = family_of_type(foreign["model_type"])
    if family is not None:
        output |= {f"{family.output}.weight", f"{family.output}.bias"}
    kept = {name: tensor for name, tensor in tensors.items() if name not in output}
    score = SCORE if family is None else family.head
    head = {
        f"{score}.{part}": weights[f"head.{part}"].detach().contiguous()
        for part in HEAD_PARTS
        if f"head.{part}" in weights
    }
    return {
        **foreign,
        "architectures": [_architecture(family)],
        "id2label": {str(number): label for number, label in enumerate(model.labels)},
        "label2id": {label: number for number, label in enumerate(model.labels)},
    }, {**kept, **head}


def _architecture(family: Family | None) -> str:
    if family is None:
        return OWN_ARCHITECTURE
    if family.headed is not None:
        return family.headed
    end = next(end for end in CAUSAL if family.architecture.endswith(end))
    return family.architecture.removesuffix(end) + HEADED


def load_headed(path: str | Path, *, verify: bool = True) -> HeadedCheckpoint:
    """Load a decoder with a head, of ours or of transformers'; an adapter is merged into its base.

    Raises CheckpointError for what is no such directory, and as `load_checkpoint`.
    """
    path = Path(path)

    def load() -> HeadedCheckpoint:
        if is_adapter(path):
            return _load_adapted(path, verify=verify)
        if kind_of(path) == "gguf" or not is_headed(read_json(path / "config.json")):
            raise CheckpointError(f"{path} is a model without a head; {EXPECTED}")
        run = load_run(path)
        if verify:
            check_listed(path, run)
        return HeadedCheckpoint(_load(path), tokenizer_of_directory(path), run, path)

    return undisturbed(path, load)


def _load_adapted(path: Path, *, verify: bool) -> HeadedCheckpoint:
    found = read_head(path)
    if found is None:
        raise CheckpointError(f"{path} is an adapter of a model without a head; {EXPECTED}")
    head_OD, labels = found
    base = load_checkpoint(base_of(path), verify=verify)
    model = HeadedDecoder(base.model, len(labels), labels=labels)
    put_weights(model, read_adapter(path, base.model.config, verify=verify))
    merge(model)
    if head_OD.shape != model.head.weight.shape:
        raise CheckpointError(
            f"{path}: a head for width {head_OD.shape[1]}, its base has {model.config.width}"
        )
    check_finite({HEAD: head_OD}, str(path))
    model.head.weight = torch.nn.Parameter(head_OD)
    tokenizer = tokenizer_of_directory(path) or base.tokenizer
    return HeadedCheckpoint(model.eval(), tokenizer, load_run(path), path)


def _load(path: Path) -> HeadedDecoder:
    foreign = read_json(path / "config.json")
    try:
        labels = labels_of(foreign)
        config = _without_output(
            config_from_huggingface({key: value for key, value in foreign.items() if key not in KEYS})
        )
        tensors = stored_tensors(path)
        check_fits(f"the model in {path}", 4 * sum(tensor.numel() for tensor in tensors.values()))
        with torch.device("meta"):
            model = HeadedDecoder(build(config), len(labels), labels=labels)
        head = _head(foreign["model_type"], model, tensors)
        weights = _decoder_weights(foreign["model_type"], config, tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    weights |= head
    check_finite(weights, str(path))
    model.load_state_dict(weights, strict=True, assign=True)
    return model.eval()


def _head(model_type: str, model: HeadedDecoder, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take the head out of foreign tensors; CheckpointError for one that is missing or doesn't fit."""
    family = family_of_type(model_type)
    found = {}
    for name, parameter in model.head.named_parameters():
        theirs = f"{SCORE if family is None else family.head}.{name}"
        tensor = tensors.pop(theirs, None)
        if tensor is None:
            raise CheckpointError(f"the head, {theirs}, is missing")
        if tensor.shape != parameter.shape:
            raise CheckpointError(
                f"{theirs} has shape {list(tensor.shape)}; the config says {list(parameter.shape)}"
            )
        found[f"head.{name}"] = tensor.to(torch.float32)
    return found


def labels_of(foreign: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels that a config.json names, in their order; CheckpointError if it names none."""
    names = foreign.get("id2label")
    if not isinstance(names, dict) or sorted(map(str, names)) != sorted(map(str, range(len(names)))):
        raise CheckpointError(f"id2label is {names!r}; expected a label for each output, by its number")
    return tuple(str(names[str(number)]) for number in range(len(names)))


def _expressible(config: Any) -> Any:
    """The config, with another output matrix where only then a Hugging Face architecture has such a model."""
    if not isinstance(config, DecoderConfig):
        return config
    untied = replace(config, tie_embeddings=False)
    variants = (config, untied, replace(untied, unembedding_bias=True))
    return next((one for one in variants if huggingface_family(one) is not None), config)


def _without_output(config: Any) -> Any:
    """The config of a decoder that has no output matrix of its own; an encoder has none here."""
    if not isinstance(config, DecoderConfig):
        return config
    return replace(config, tie_embeddings=True, unembedding_bias=False)


def _decoder_weights(model_type: str, config: Any, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    family = family_of_type(model_type)
    output = "unembedding" if family is None else family.output
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{output}.")}
    shapes = {name: tuple(tensor.shape) for name, tensor in kept.items()}
    sources = directory_sources(
        model_type, config, shapes, same=lambda one, other: torch.equal(kept[one], kept[other])
    )
    return {
        f"decoder.{source.ours}": rows.to(torch.float32).contiguous()
        for source, rows in take_all(sources, kept)
    }
