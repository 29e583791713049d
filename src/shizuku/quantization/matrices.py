"""One matrix by its scheme: the outliers, the grid, the codes, and the packed arrays.

R rows, C columns, K outliers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from shizuku.quantization.bits import pack
from shizuku.quantization.codebooks import best_codebook, nearest
from shizuku.quantization.gptq import gptq
from shizuku.quantization.layers import dequantised, over_groups
from shizuku.quantization.outliers import choose_outliers, least_fitting
from shizuku.quantization.rounding import codes_of, grid_of, padded_groups, plain_grid
from shizuku.quantization.scheme import Layout, Scheme, layout_of


@dataclass(frozen=True, slots=True)
class Rounded:
    """A matrix after rounding, and how far it is from what it was."""

    layout: Layout
    """How it is laid out."""
    arrays: Mapping[str, Tensor]
    """Its packed arrays."""
    weight_error: float
    """Squared error of the numbers, beside their squares."""
    output_error: float | None
    """Squared error of the layer's outputs over the calibration text, beside theirs; None without one."""


def quantize_matrix(
    weight_RC: Tensor, scheme: Scheme, hessian_CC: Tensor | None = None, *, codebook: np.ndarray | None = None
) -> Rounded:
    """Round a matrix by its scheme.

    `hessian_CC` is the mean of x x^T over the layer's inputs; without it all columns count alike, and GPTQ is
    rounding to nearest. A `codebook` that is given is used in place of the matrix's own.
    """
    weight_RC = weight_RC.detach().float()
    importance_C = None if hessian_CC is None else hessian_CC.diagonal()
    layout = layout_of(scheme, (weight_RC.shape[0], weight_RC.shape[1]))
    if scheme.method == "codebook":
        layout, arrays = _by_codebook(weight_RC, layout, scheme, importance_C, codebook)
    else:
        layout, arrays = _on_grid(weight_RC, layout, scheme, hessian_CC)
    error_RC = dequantised(layout, arrays) - weight_RC
    return Rounded(
        layout,
        arrays,
        float(error_RC.square().sum() / weight_RC.square().sum().clamp(min=1e-30)),
        None if hessian_CC is None else _output_error(error_RC, weight_RC, hessian_CC),
    )


def _on_grid(
    weight_RC: Tensor, layout: Layout, scheme: Scheme, hessian_CC: Tensor | None
) -> tuple[Layout, dict[str, Tensor]]:
    importance_C = None if hessian_CC is None else hessian_CC.diagonal()
    kept_RC = None
    if scheme.outliers:
        kept_RC = choose_outliers(weight_RC, layout, scheme.outliers, importance_C)
    if scheme.method == "rtn" or hessian_CC is None:
        grid = grid_of(weight_RC, layout, kept_RC=kept_RC)
        codes_RC, exact_RC = codes_of(weight_RC, layout, grid), weight_RC
    else:
        grid = grid_of(weight_RC, layout, importance_C=importance_C, kept_RC=kept_RC)
        codes_RC, exact_RC = gptq(
            weight_RC, hessian_CC, *plain_grid(layout, grid), group=layout.group, bits=layout.bits,
            kept_RC=kept_RC,
        )  # fmt: skip
    return _with_outliers(layout, {"numbers": packed(codes_RC, layout.bits), **grid}, exact_RC, kept_RC)


def _by_codebook(
    weight_RC: Tensor, layout: Layout, scheme: Scheme, importance_C: Tensor | None, given: np.ndarray | None
) -> tuple[Layout, dict[str, Tensor]]:
    scaled_RC, importance_RC = weight_RC, torch.ones_like(weight_RC)
    if importance_C is not None:
        importance_RC = importance_C.clamp(min=0).expand_as(weight_RC).clone()
    arrays: dict[str, Tensor] = {}
    if layout.groups:
        sizes_RGN = padded_groups(weight_RC.square(), layout.group, empty=False)
        scales_RG = sizes_RGN.mean(-1).sqrt().half()
        arrays["scales"] = scales_RG
        divisor_RG = torch.where(scales_RG == 0, 1.0, scales_RG.float())
        scaled_RC = over_groups(weight_RC.clone(), divisor_RG, layout.group, torch.Tensor.div_)
        importance_RC = over_groups(
            importance_RC, scales_RG.float().square(), layout.group, torch.Tensor.mul_
        )
    values, weights = scaled_RC.numpy(), importance_RC.numpy()
    codebook = best_codebook(values, 2**layout.bits, weights) if given is None else given
    kept_RC = None
    if scheme.outliers:
        error_RC = torch.from_numpy(codebook[nearest(values, codebook)] - values) * importance_RC.sqrt()
        kept_RC = least_fitting(error_RC, scheme.outliers, None)
        if given is None:
            codebook = best_codebook(values, 2**layout.bits, np.where(kept_RC.numpy(), 0.0, weights))
    arrays["codebook"] = torch.from_numpy(codebook.astype(np.float32))
    codes_RC = torch.from_numpy(nearest(values, codebook))
    return _with_outliers(layout, {"numbers": packed(codes_RC, layout.bits), **arrays}, weight_RC, kept_RC)


def _with_outliers(
    layout: Layout, arrays: dict[str, Tensor], exact_RC: Tensor, kept_RC: Tensor | None
) -> tuple[Layout, dict[str, Tensor]]:
    """The arrays with the kept numbers of `exact_RC` beside them."""
    if kept_RC is None or not bool(kept_RC.any()):
        return layout, arrays
    counts_R, (_, columns_K) = kept_RC.sum(1), kept_RC.nonzero(as_tuple=True)
    layout = Layout(
        grid=layout.grid, bits=layout.bits, group_size=layout.group_size, shape=layout.shape,
        outliers=len(columns_K),
    )  # fmt: skip
    index = getattr(torch, layout.arrays()["outlier_columns"][0])
    arrays |= {
        "outlier_counts": counts_R.to(index),
        "outlier_columns": columns_K.to(index),
        "outlier_values": exact_RC[kept_RC].half(),
    }
    return layout, arrays


def packed(codes_RC: Tensor, bits: int) -> Tensor:
    """The codes as packed bytes, uint8."""
    return torch.from_numpy(pack(codes_RC.cpu().numpy(), bits)).to(codes_RC.device)


def _output_error(error_RC: Tensor, weight_RC: Tensor, hessian_CC: Tensor) -> float:
    """tr(E H E^T) / tr(W H W^T): the mean squared error of the outputs beside their mean square."""
    wrong, whole = (float(((m @ hessian_CC) * m).sum()) for m in (error_RC, weight_RC))
    return wrong / max(whole, 1e-30)
