"""Grids of a matrix, and rounding its numbers to the nearest point of them.

R rows, C columns, G groups of a row, N numbers of a group. Scales and offsets are float16 as they are
stored, so that the codes fit what will be read.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from shizuku.errors import ModelError
from shizuku.quantization.scheme import Layout

SHRINK = tuple(1 - step / 20 for step in range(12))
"""Shares of a group's range that are tried where the importance of columns is known."""
LARGEST = 65504.0


def grid_of(
    weight_RC: Tensor, layout: Layout, *, importance_C: Tensor | None = None, kept_RC: Tensor | None = None
) -> dict[str, Tensor]:
    """The scales [R, G], and the offsets of an asymmetric grid, of each group's range.

    `kept_RC` marks numbers that the grid need not hold. With `importance_C` (mean squares of the inputs)
    narrower grids are tried too, and the one with the least weighted squared error is taken.
    ModelError where float16 cannot hold the scales.
    """
    if float(weight_RC.abs().max()) > LARGEST:
        raise ModelError(
            f"the matrix holds {float(weight_RC.abs().max()):g}; float16 scales end at {LARGEST:g}: leave "
            "it in float (--keep)"
        )
    groups_RGN = padded_groups(weight_RC, layout.group)
    low_RG, high_RG = _range(
        groups_RGN, None if kept_RC is None else padded_groups(kept_RC, layout.group, empty=True)
    )
    best = _grid(layout, low_RG, high_RG)
    if importance_C is None:
        return best
    importance_1GN = padded_groups(importance_C[None].float(), layout.group, empty=True)
    best_error_RG = torch.full_like(low_RG, torch.inf)
    for share in SHRINK:
        grid = _grid(layout, low_RG * share, high_RG * share)
        error_RGN = _rounded(groups_RGN, layout, grid) - groups_RGN
        if kept_RC is not None:
            error_RGN = error_RGN.masked_fill(padded_groups(kept_RC, layout.group, empty=True), 0.0)
        error_RG = (error_RGN.square() * importance_1GN).sum(-1)
        better_RG = error_RG < best_error_RG
        best = {name: torch.where(better_RG, grid[name], best[name]) for name in best}
        best_error_RG = torch.where(better_RG, error_RG, best_error_RG)
    return best


def codes_of(weight_RC: Tensor, layout: Layout, grid: dict[str, Tensor]) -> Tensor:
    """The code of the nearest point of the grid for every number, uint8 [R, C]."""
    groups_RGN = padded_groups(weight_RC, layout.group)
    return _codes(groups_RGN, layout, grid).to(torch.uint8).flatten(1)[:, : weight_RC.shape[1]]


def plain_grid(layout: Layout, grid: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Scales (never zero) and offsets float32 [R, G] with w = scale code + offset, for either grid."""
    scales_RG = grid["scales"].float()
    if layout.grid == "asymmetric":
        offsets_RG = grid["offsets"].float()
    else:
        offsets_RG = scales_RG * -(2.0 ** (layout.bits - 1))
    return torch.where(scales_RG == 0, 1.0, scales_RG), offsets_RG


def padded_groups(matrix_RC: Tensor, group: int, *, empty: bool = False) -> Tensor:
    """The columns in groups [R, groups, group]; a last group that is short is filled with its own mean.

    The mean widens no range. With `empty` it is filled with zeros instead, which count for nothing.
    """
    columns = matrix_RC.shape[1]
    missing = -columns % group
    if missing:
        filled_RC = F.pad(matrix_RC, (0, missing))
        if not empty:
            filled_RC[:, columns:] = matrix_RC[:, columns + missing - group :].mean(1, keepdim=True)
        matrix_RC = filled_RC
    return matrix_RC.reshape(matrix_RC.shape[0], -1, group)


def _range(groups_RGN: Tensor, kept_RGN: Tensor | None) -> tuple[Tensor, Tensor]:
    if kept_RGN is None:
        return groups_RGN.amin(-1), groups_RGN.amax(-1)
    low_RG = groups_RGN.masked_fill(kept_RGN, torch.inf).amin(-1)
    high_RG = groups_RGN.masked_fill(kept_RGN, -torch.inf).amax(-1)
    empty_RG = low_RG > high_RG
    return low_RG.masked_fill(empty_RG, 0.0), high_RG.masked_fill(empty_RG, 0.0)


def _grid(layout: Layout, low_RG: Tensor, high_RG: Tensor) -> dict[str, Tensor]:
    if layout.grid == "asymmetric":
        scales_RG = ((high_RG - low_RG) / (2**layout.bits - 1)).half()
        return {"scales": scales_RG, "offsets": low_RG.half()}
    if layout.bits == 8:
        return {"scales": (torch.maximum(high_RG.abs(), low_RG.abs()) / 127).half()}
    # The number farthest from zero takes the code at the end that has one point more; the scale has its sign.
    farthest_RG = torch.where(high_RG.abs() > low_RG.abs(), high_RG, low_RG)
    return {"scales": (farthest_RG / -(2 ** (layout.bits - 1))).half()}


def _codes(groups_RGN: Tensor, layout: Layout, grid: dict[str, Tensor]) -> Tensor:
    scales_RG, offsets_RG = plain_grid(layout, grid)
    codes_RGN = ((groups_RGN - offsets_RG[..., None]) / scales_RG[..., None]).round_()
    return codes_RGN.clamp_(0, 2**layout.bits - 1)


def _rounded(groups_RGN: Tensor, layout: Layout, grid: dict[str, Tensor]) -> Tensor:
    scales_RG = grid["scales"].float()
    _, offsets_RG = plain_grid(layout, grid)
    return _codes(groups_RGN, layout, grid) * scales_RG[..., None] + offsets_RG[..., None]
