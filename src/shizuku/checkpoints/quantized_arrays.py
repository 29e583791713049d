"""Directories that Shizuku has quantised, read without torch: packed arrays become blocks of native code."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from shizuku.checkpoints.memory import check_fits
from shizuku.checkpoints.safetensors_file import SafetensorsEntry, places_in
from shizuku.checkpoints.stored import packed_tensor, stored_in_safetensors
from shizuku.checkpoints.weights import few
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.decoder_config import DecoderConfig
from shizuku.models.parameter_shapes import parameter_shapes
from shizuku.quantization.blocks import kind_of, packed_tensors
from shizuku.quantization.packed import PackedTensor
from shizuku.quantization.scheme import Layout, read_layouts

_DTYPES = {"uint8": "U8", "uint16": "U16", "int32": "I32", "float16": "F16", "float32": "F32"}
"""What safetensors calls the types of the arrays."""


def quantized_tensors(
    config: DecoderConfig, keys: Mapping[str, Any], files: list[Path]
) -> dict[str, PackedTensor]:
    """Every tensor of a quantised directory, by our names; `keys` are those of its config.json.

    A packed layer comes in the block format that holds its numbers exactly, else in float32. Layouts that
    make no sense, tensors that are missing, strange or not finite raise CheckpointError.
    """
    quantization = keys.get("quantization") or {}
    try:
        layouts = read_layouts(quantization)
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    shapes = parameter_shapes(config)
    _check_layers(layouts, shapes)
    # What no block format holds becomes float32, which the size of the files does not tell.
    check_fits("the model, unpacked where it must be,", sum(map(_bytes_here, layouts.values())))
    places = places_in(files)
    wanted = {f"{name}.{part}": array for name, part, array in _arrays(layouts)}
    floats = {name: shape for name, shape in shapes.items() if name.removesuffix(".weight") not in layouts}
    _check_names({*wanted, *floats}, set(places))
    arrays = {}
    for name, (dtype, shape) in wanted.items():
        file, entry = places[name]
        _check_form(name, entry, (_DTYPES[dtype],), shape)
        arrays[name] = file.bytes_of(name).view(np.dtype(dtype).newbyteorder("<")).reshape(shape)
        if dtype.startswith("float") and not np.isfinite(arrays[name]).all():
            raise CheckpointError(f"tensor {name} holds numbers that are NaN or infinite: it is damaged")
    for name, layout in layouts.items():
        if layout.outliers:
            _check_outliers(name, layout, arrays)
    found = packed_tensors(quantization, arrays)
    for name, shape in floats.items():
        file, entry = places[name]
        _check_form(name, entry, ("F32", "F16", "BF16"), shape)
        stored = stored_in_safetensors(name, file, entry)
        found[name] = packed_tensor(name, shape, stored.kind, stored.array)
    return {name: found[name] for name in shapes}


def _bytes_here(layout: Layout) -> int:
    return 4 * math.prod(layout.shape) if kind_of(layout) is None else layout.bytes


def _arrays(layouts: Mapping[str, Layout]) -> Iterator[tuple[str, str, tuple[str, tuple[int, ...]]]]:
    for name, layout in layouts.items():
        for part, array in layout.arrays().items():
            yield name, part, array


def _check_layers(layouts: Mapping[str, Layout], shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name, layout in layouts.items():
        shape = shapes.get(f"{name}.weight", ())
        if len(shape) != 2:
            raise CheckpointError(f"the model has no layer {name} with a matrix")
        if shape != tuple(layout.shape):
            raise CheckpointError(f"{name} is {shape} in the model; its layout says {layout.shape}")


def _check_names(wanted: set[str], seen: set[str]) -> None:
    missing, strangers = sorted(wanted - seen), sorted(seen - wanted)
    if missing:
        raise CheckpointError(f"{len(missing)} tensors are missing: {few(missing)}")
    if strangers:
        raise CheckpointError(f"{len(strangers)} tensors are not part of the model: {few(strangers)}")


def _check_form(name: str, entry: SafetensorsEntry, dtypes: tuple[str, ...], shape: tuple[int, ...]) -> None:
    if entry.dtype not in dtypes or entry.shape != shape:
        raise CheckpointError(
            f"tensor {name} is {entry.dtype} {list(entry.shape)}; the config's quantization says "
            f"{' or '.join(dtypes)} {list(shape)}"
        )


def _check_outliers(name: str, layout: Layout, arrays: Mapping[str, np.ndarray]) -> None:
    counts, columns = (arrays[f"{name}.outlier_{part}"].astype(np.int64) for part in ("counts", "columns"))
    if int(counts.sum()) != layout.outliers or int(counts.min()) < 0:
        raise CheckpointError(
            f"{name}.outlier_counts sum to {int(counts.sum())}; the config says {layout.outliers} outliers"
        )
    if int(columns.min()) < 0 or int(columns.max()) >= layout.shape[1]:
        raise CheckpointError(
            f"{name}.outlier_columns has a column outside of the {layout.shape[1]} there are"
        )
