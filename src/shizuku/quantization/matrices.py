"""One matrix by its scheme: the grid, the codes, the outliers, and the packed arrays.

R rows, C columns.
"""

import torch
from torch import Tensor

from shizuku.quantization.bits import pack
from shizuku.quantization.rounding import codes_of, grid_of
from shizuku.quantization.scheme import Layout, Scheme, layout_of


def quantize_matrix(
    weight_RC: Tensor, scheme: Scheme, hessian_CC: Tensor | None = None
) -> tuple[Layout, dict[str, Tensor]]:
    """Round a matrix and return its layout and packed arrays.

    `hessian_CC` is the mean of x x^T over the layer's inputs; without it all columns count alike, and GPTQ is
    rounding to nearest.
    """
    weight_RC = weight_RC.detach().float()
    shape = (weight_RC.shape[0], weight_RC.shape[1])
    layout = layout_of(scheme, shape)
    grid = grid_of(weight_RC, layout)
    codes_RC = codes_of(weight_RC, layout, grid)
    return layout, {"numbers": packed(codes_RC, layout.bits), **grid}


def packed(codes_RC: Tensor, bits: int) -> Tensor:
    """The codes as packed bytes, uint8."""
    return torch.from_numpy(pack(codes_RC.cpu().numpy(), bits)).to(codes_RC.device)
