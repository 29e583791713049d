"""Checkpoints with packed matrices: a config.json of their own kind, around that of the float model.

`model_type` is one that `AutoModel` refuses, instead of opening packed bytes as weights. Under `original`
stands the float model's config.json, under `quantization` the layout of each packed layer. The arrays of
layer `blocks.0.feedforward.up` are `blocks.0.feedforward.up.numbers`, `.scales`, …; what is not packed has
our names and its own type.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shizuku.checkpoints.huggingface import QUANTIZED_MODEL_TYPE, read_json, stored_tensors, to_huggingface
from shizuku.checkpoints.weights import expected_shapes, few
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.architectures import build
from shizuku.quantization.scheme import Layout, read_layouts
from shizuku.quantization.surgery import description, pack_layer

FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def config_of(model: Any) -> dict[str, Any]:
    """The keys of config.json for a model with packed layers."""
    shapes = expected_shapes(model.config).items()
    original, _ = to_huggingface(model.config, {n: torch.empty(s, device="meta") for n, s in shapes})
    return {"model_type": QUANTIZED_MODEL_TYPE, "quantization": description(model), "original": original}


def is_packed(directory: Path) -> bool:
    """Whether a checkpoint directory has packed matrices; CheckpointError without a readable config.json."""
    return read_json(directory / "config.json").get("model_type") == QUANTIZED_MODEL_TYPE


def load_quantized(directory: Path, config: Any) -> Any:
    """The model of a directory with packed matrices; raises as `assemble`, naming the directory."""
    try:
        layouts = layouts_of(read_json(directory / "config.json"))
        return assemble(config, layouts, stored_tensors(directory))
    except CheckpointError as error:
        raise CheckpointError(f"{directory}: {error}") from error


def layouts_of(foreign: Mapping[str, Any]) -> dict[str, Layout]:
    """The layouts that a config.json describes; CheckpointError where it makes no sense."""
    try:
        return read_layouts(foreign.get("quantization") or {})
    except ConfigError as error:
        raise CheckpointError(str(error)) from error


def assemble(config: Any, layouts: Mapping[str, Layout], tensors: Mapping[str, Tensor]) -> Any:
    """The model with its packed layers; tensors that are missing, strange or not finite: CheckpointError."""
    with torch.device("meta"):
        model = build(config)
        for name, layout in layouts.items():
            try:
                pack_layer(model, name, layout, None)
            except ConfigError as error:
                raise CheckpointError(str(error)) from error
    expected = model.state_dict()
    missing = sorted(set(expected) - set(tensors))
    if missing:
        raise CheckpointError(f"{len(missing)} tensors are missing: {few(missing)}")
    strangers = sorted(set(tensors) - set(expected))
    if strangers:
        raise CheckpointError(f"{len(strangers)} tensors are not part of the model: {few(strangers)}")
    for name, wanted in expected.items():
        _check(name, tensors[name], wanted)
    found = {
        name: tensor.float() if expected[name].dtype == torch.float32 else tensor
        for name, tensor in tensors.items()
    }
    for name, layout in layouts.items():
        if layout.outliers:
            _check_outliers(name, layout, found)
    model.load_state_dict(found, strict=True, assign=True)
    return model.eval()


def _check(name: str, tensor: Tensor, wanted: Tensor) -> None:
    fits = tensor.dtype in FLOATS if wanted.dtype == torch.float32 else tensor.dtype == wanted.dtype
    if not fits or tensor.shape != wanted.shape:
        raise CheckpointError(
            f"tensor {name} is {tensor.dtype} {list(tensor.shape)}; the config's quantization says "
            f"{wanted.dtype} {list(wanted.shape)}"
        )
    if tensor.dtype in FLOATS and not bool(torch.isfinite(tensor).all()):
        raise CheckpointError(f"tensor {name} holds numbers that are NaN or infinite: it is damaged")


def _check_outliers(name: str, layout: Layout, tensors: Mapping[str, Tensor]) -> None:
    counts, columns = (tensors[f"{name}.outlier_{part}"].long() for part in ("counts", "columns"))
    if int(counts.sum()) != layout.outliers or int(counts.min()) < 0:
        raise CheckpointError(
            f"{name}.outlier_counts sum to {int(counts.sum())}; the config says {layout.outliers} outliers"
        )
    if int(columns.min()) < 0 or int(columns.max()) >= layout.shape[1]:
        raise CheckpointError(
            f"{name}.outlier_columns has a column outside of the {layout.shape[1]} there are"
        )
