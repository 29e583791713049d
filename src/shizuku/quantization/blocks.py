"""Packed layers as they lie in a file, turned into the blocks that native code computes with. No torch here.

A grid with a scale, or a scale and an offset, for 32 columns or a multiple of them is one of GGUF's block
formats; scales of larger groups are repeated, and codes of fewer bits take the place of wider ones. Nothing
is rounded again: a block stands for exactly the numbers that the layer stands for. Codebooks, outliers and
asymmetric grids of more than 4 bits have no such format.
R rows, C columns, L blocks of 32 columns in a row.
"""

from collections.abc import Mapping

import numpy as np

from shizuku.quantization.bits import pack, unpack
from shizuku.quantization.packed import PackedKind, PackedTensor
from shizuku.quantization.scheme import Grid, Layout, read_layouts

BLOCK = 32
_LAYOUTS: dict[PackedKind, tuple[Grid, int]] = {
    "q4_0": ("symmetric", 4), "q4_1": ("asymmetric", 4), "q8_0": ("symmetric", 8),
}  # fmt: skip
"""Grid and bits of the block formats that a layout has."""


def packed_tensors(
    quantization: Mapping[str, object], arrays: Mapping[str, np.ndarray]
) -> dict[str, PackedTensor]:
    """The matrix of every packed layer, as `NAME.weight`, from a config's `quantization` and a file's arrays.

    What no block format can hold is float32. ConfigError for a config that makes no sense, KeyError for an
    array that is missing.
    """
    found = {}
    for name, layout in read_layouts(quantization).items():
        own = {part: arrays[f"{name}.{part}"] for part in layout.arrays()}
        found[f"{name}.weight"] = blocks(layout, own) or floats(layout, own)
    return found


def kind_of(layout: Layout) -> PackedKind | None:
    """The block format that holds exactly the numbers of a layout, or None."""
    if layout.outliers or layout.shape[1] % BLOCK or layout.group % BLOCK or layout.grid == "codebook":
        return None
    if layout.grid == "asymmetric":
        return "q4_1" if layout.bits <= 4 else None
    return "q4_0" if layout.bits <= 4 else "q8_0"


def blocks(layout: Layout, arrays: Mapping[str, np.ndarray]) -> PackedTensor | None:
    """The layer's matrix in GGUF's blocks, or None where `kind_of` has none for it."""
    kind = kind_of(layout)
    if kind is None:
        return None
    rows, columns = layout.shape
    parts = [_by_block(layout, arrays["scales"])]
    if kind == "q4_1":
        parts.append(_by_block(layout, arrays["offsets"]))
    if layout.bits == 4:
        parts.append(_nibbles_of_pairs(arrays["numbers"].reshape(rows, -1, BLOCK // 2)))
    else:
        codes_RL32 = unpack(arrays["numbers"], layout.bits, columns).reshape(rows, -1, BLOCK)
        middle = np.uint8(2 ** (layout.bits - 1))
        if kind == "q8_0":
            parts.append(codes_RL32 - middle)  # modulo 256: the bytes of the signed numbers
        else:
            parts.append(_nibbles(codes_RL32 if kind == "q4_1" else codes_RL32 + (np.uint8(8) - middle)))
    data = np.concatenate(parts, axis=-1)
    return PackedTensor(kind, layout.shape, data.reshape(rows, -1))


def layer_of_blocks(tensor: PackedTensor) -> tuple[Layout, dict[str, np.ndarray]] | None:
    """The layout and the arrays of a packed layer that stands for exactly the numbers of a matrix in GGUF's
    blocks; None for block formats that no layout has (`blocks` the other way round).
    """
    if tensor.kind not in _LAYOUTS:
        return None
    grid, bits = _LAYOUTS[tensor.kind]
    (rows, columns), scale_bytes = tensor.shape, 4 if grid == "asymmetric" else 2
    bytes_RLb = tensor.data.reshape(rows, columns // BLOCK, -1)
    scales = np.ascontiguousarray(bytes_RLb[..., :scale_bytes]).view("<f2")
    codes_RLb = bytes_RLb[..., scale_bytes:]
    if bits == 8:
        codes_RL32 = codes_RLb + np.uint8(128)  # modulo 256: signed numbers, moved to begin at zero
    else:
        codes_RL32 = np.concatenate([codes_RLb & np.uint8(15), codes_RLb >> np.uint8(4)], axis=-1)
    arrays = {"numbers": pack(codes_RL32.reshape(rows, columns), bits), "scales": scales[..., 0].copy()}
    if grid == "asymmetric":
        arrays["offsets"] = scales[..., 1].copy()
    return Layout(grid=grid, bits=bits, group_size=BLOCK, shape=tensor.shape), arrays


def floats(layout: Layout, arrays: Mapping[str, np.ndarray]) -> PackedTensor:
    """The layer's matrix in float32, whatever its layout."""
    columns = layout.shape[1]
    codes_RC = unpack(arrays["numbers"], layout.bits, columns)
    if layout.grid == "codebook":
        weight_RC = arrays["codebook"].astype(np.float32)[codes_RC]
    else:
        weight_RC = codes_RC.astype(np.float32)
        if layout.grid == "symmetric":
            weight_RC -= np.float32(2 ** (layout.bits - 1))
    if layout.groups:
        weight_RC *= arrays["scales"].astype(np.float32).repeat(layout.group, axis=1)[:, :columns]
    if layout.grid == "asymmetric":
        weight_RC += arrays["offsets"].astype(np.float32).repeat(layout.group, axis=1)[:, :columns]
    if layout.outliers:
        rows = np.repeat(np.arange(layout.shape[0]), arrays["outlier_counts"])
        weight_RC[rows, arrays["outlier_columns"]] = arrays["outlier_values"].astype(np.float32)
    return PackedTensor("f32", layout.shape, weight_RC.view(np.uint8))


def _by_block(layout: Layout, values_RG: np.ndarray) -> np.ndarray:
    """A float16 of each group as bytes for each of its blocks, uint8 [R, L, 2]."""
    per_block = values_RG.astype("<f2").repeat(layout.group // BLOCK, axis=1)
    per_block = np.ascontiguousarray(per_block[:, : layout.shape[1] // BLOCK])
    return per_block.view(np.uint8).reshape(layout.shape[0], -1, 2)


def _nibbles(codes_RL32: np.ndarray) -> np.ndarray:
    """Codes below 16 two by two: byte j has number j in its low half and number j + 16 in its high half."""
    halves = codes_RL32.astype(np.uint8)
    packed: np.ndarray = halves[..., :16] | halves[..., 16:] << np.uint8(4)
    return packed


def _nibbles_of_pairs(pairs_RLb: np.ndarray) -> np.ndarray:
    """The same of codes of 4 bits that lie two neighbours to a byte, uint8 [R, L, 16]."""
    first, last = pairs_RLb[..., :8], pairs_RLb[..., 8:]
    packed = np.empty_like(pairs_RLb)
    packed[..., 0::2] = first & np.uint8(15) | last << np.uint8(4)
    packed[..., 1::2] = first >> np.uint8(4) | last & np.uint8(0xF0)
    return packed
