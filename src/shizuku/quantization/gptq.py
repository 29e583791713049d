"""GPTQ: columns are rounded one after the other, and the rest makes good what that does to the outputs.

Frantar et al. 2022, algorithm 1, with the columns in the order of falling curvature and the groups' grids
settled beforehand, so that the groups stay runs of neighbouring columns in the file.
R rows, C columns, G groups of a row.
"""

import torch
from torch import Tensor

from shizuku.errors import ModelError

DAMPING = 0.01
"""Share of the diagonal's mean that is added to it."""
BLOCK = 128
"""Columns after which what is due to all later columns is brought up to date at once."""


def gptq(
    weight_RC: Tensor,
    hessian_CC: Tensor,
    scales_RG: Tensor,
    offsets_RG: Tensor,
    *,
    group: int,
    bits: int,
    kept_RC: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Codes uint8 [R, C] on the grid w = scale code + offset, and the numbers float32 [R, C] before rounding.

    `hessian_CC` is the mean of x x^T over inputs. Numbers marked in `kept_RC` are not rounded, and their
    values, which make good what came before them, stand in the second result. ModelError for a Hessian that
    is not positive definite even with its damping.
    """
    columns = weight_RC.shape[1]
    order_C = torch.argsort(hessian_CC.diagonal(), descending=True, stable=True)
    upper_CC = inverse_factor(hessian_CC[order_C][:, order_C])
    work_RC = weight_RC.float()[:, order_C].clone()
    kept = None if kept_RC is None else kept_RC[:, order_C]
    group_C = order_C // group
    scale_RC, offset_RC = scales_RG[:, group_C], offsets_RG[:, group_C]
    codes_RC = torch.zeros_like(work_RC)
    for first in range(0, columns, BLOCK):
        last = min(first + BLOCK, columns)
        block_RN, upper_NN = work_RC[:, first:last], upper_CC[first:last, first:last]
        errors_RN = torch.zeros_like(block_RN)
        for n in range(last - first):
            value_R, column = block_RN[:, n], first + n
            scale_R, offset_R = scale_RC[:, column], offset_RC[:, column]
            code_R = ((value_R - offset_R) / scale_R).round_().clamp_(0, 2**bits - 1)
            codes_RC[:, column] = code_R
            error_R = value_R - (code_R * scale_R + offset_R)
            if kept is not None:
                error_R = error_R.masked_fill(kept[:, column], 0.0)
            error_R = error_R / upper_NN[n, n]
            block_RN[:, n + 1 :] -= error_R[:, None] * upper_NN[n, n + 1 :]
            errors_RN[:, n] = error_R
        work_RC[:, last:] -= errors_RN @ upper_CC[first:last, last:]
    back_C = torch.argsort(order_C)
    return codes_RC.to(torch.uint8)[:, back_C], work_RC[:, back_C]


def inverse_factor(hessian_CC: Tensor) -> Tensor:
    """The upper Cholesky factor float32 of the inverse of the damped Hessian: U^T U = (H + d I)^-1."""
    damped_CC = hessian_CC.double().clone()
    diagonal_C = damped_CC.diagonal()
    diagonal_C += DAMPING * float(diagonal_C.mean()) or 1.0
    try:
        lower_CC = torch.linalg.cholesky(damped_CC)
        return torch.linalg.cholesky(torch.cholesky_inverse(lower_CC), upper=True).float()
    except torch.linalg.LinAlgError as error:
        raise ModelError(
            "the inputs of this layer give no usable Hessian: calibrate on more and more varied text (--text)"
        ) from error
