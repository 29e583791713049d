"""Cross entropy over a vocabulary without ever holding the logits of the whole batch.

Legend: `N` tokens, `D` width, `V` vocabulary, `C` tokens of one chunk.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from shizuku.models.layers.products import outer_sum, product

CHUNK_BYTES = 16 << 20
"""Logits held at once: more leaves the last-level cache, less makes the matrix products thin."""
MIN_CHUNK = 128
MOST_IN_HALF = 1024
"""Tokens of a chunk in float16: the output matrix's gradient sums over them, and float16 ends at 65,504."""


def chunk_tokens(vocab_size: int, bytes_per_value: int = 4) -> int:
    """How many tokens' logits are computed at once."""
    return max(MIN_CHUNK, CHUNK_BYTES // (vocab_size * bytes_per_value))


def cross_entropy_sums(
    x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, *, with_z: bool = False, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """Sums over the tokens of the cross entropy (nats) and of log(Z)², Z the softmax's normaliser.

    The second is zero without `with_z`. The gradient is computed during the forward pass, chunk by chunk, as
    the logits are at hand then; after Hsu et al. 2024 (Liger) and Wijmans et al. 2024 (Cut Your Losses).
    Under autocast the products are in its precision, softmax and sums in float32.
    """
    if not torch.is_grad_enabled():
        # An autograd function is told of gradients that could be wanted, whether or not they are.
        x_ND, weight_VD = x_ND.detach(), weight_VD.detach()
    device, products = x_ND.device.type, x_ND.dtype
    if torch.is_autocast_enabled(device):
        products, x_ND = torch.get_autocast_dtype(device), x_ND.float()
    chunk = chunk or chunk_tokens(weight_VD.shape[0], x_ND.element_size())
    if products == torch.float16:
        chunk = min(chunk, MOST_IN_HALF)
    with torch.autocast(device, enabled=False):
        ce, z = _ChunkedCrossEntropy.apply(x_ND, weight_VD, targets_N, with_z, chunk, products)
    return ce, z


class _ChunkedCrossEntropy(torch.autograd.Function):
    """With p the softmax: d ce / d logits = p - onehot, d log(Z)² / d logits = 2 log(Z) p."""

    @staticmethod
    def forward(
        ctx: Any,
        x_ND: Tensor,
        weight_VD: Tensor,
        targets_N: Tensor,
        with_z: bool,
        chunk: int,
        products: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        want_x, want_w = ctx.needs_input_grad[:2]
        wide = torch.promote_types(x_ND.dtype, torch.float32)  # softmax and sums are never of 16 bits
        ce_sum, z_sum = (x_ND.new_zeros((), dtype=wide) for _ in range(2))
        dx_ND = torch.empty_like(x_ND) if want_x else None
        dw_VD = torch.zeros_like(weight_VD) if want_w else None
        zx_ND = torch.empty_like(x_ND) if want_x and with_z else None
        zw_VD = torch.zeros_like(weight_VD) if want_w and with_z else None
        weight_VD = weight_VD.to(products)
        for start in range(0, len(x_ND), chunk):
            x_CD = x_ND[start : start + chunk].to(products)
            target_C1 = targets_N[start : start + chunk, None]
            logits_CV = product(x_CD, weight_VD).to(wide)
            logp_CV = torch.log_softmax(logits_CV, dim=-1)
            logp_C1 = logp_CV.gather(1, target_C1)
            ce_sum -= logp_C1.sum()
            if with_z:
                logz_C1 = logits_CV.gather(1, target_C1) - logp_C1
                z_sum += logz_C1.square().sum()
            if not (want_x or want_w):
                continue
            p_CV = logp_CV.exp_()
            if with_z:
                zp_CV = torch.mul(p_CV, 2 * logz_C1, out=logits_CV)
                if zx_ND is not None:
                    zx_ND[start : start + chunk] = product(zp_CV.to(products), weight_VD.t())
                if zw_VD is not None:
                    zw_VD += outer_sum(zp_CV.to(products), x_CD)
            p_CV.scatter_add_(1, target_C1, torch.full_like(logp_C1, -1.0))
            if dx_ND is not None:
                dx_ND[start : start + chunk] = product(p_CV.to(products), weight_VD.t())
            if dw_VD is not None:
                dw_VD += outer_sum(p_CV.to(products), x_CD)
        ctx.gradients = dx_ND, dw_VD, zx_ND, zw_VD
        if not with_z:
            ctx.mark_non_differentiable(z_sum)
        return ce_sum, z_sum

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        ce_grad, z_grad = grad_outputs
        gradients = ctx.gradients
        assert gradients is not None, "the chunked cross entropy's gradient is there once"
        ctx.gradients = None  # scaled in place below, so a second backward pass would be wrong
        dx_ND, dw_VD, zx_ND, zw_VD = gradients
        dx_ND = None if dx_ND is None else dx_ND.mul_(ce_grad)
        dw_VD = None if dw_VD is None else dw_VD.mul_(ce_grad)
        if dx_ND is not None and zx_ND is not None:
            dx_ND.addcmul_(zx_ND, z_grad)
        if dw_VD is not None and zw_VD is not None:
            dw_VD.addcmul_(zw_VD, z_grad)
        return dx_ND, dw_VD, None, None, None, None


def cross_entropy_sums_of(
    unembed: Callable[[Tensor], Tensor],
    x_ND: Tensor,
    targets_N: Tensor,
    *,
    vocab_size: int,
    with_z: bool = False,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Like `cross_entropy_sums`, for logits that are more than one matrix product (capped, with a bias).

    Autograd goes through `unembed`; the backward pass works each chunk out again, so that none is kept.
    """
    size = chunk or chunk_tokens(vocab_size, x_ND.element_size())

    def sums(x_CD: Tensor, targets_C: Tensor) -> tuple[Tensor, Tensor]:
        logits_CV = unembed(x_CD)
        ce = cross_entropy(logits_CV, targets_C, reduction="sum")
        return ce, logits_CV.logsumexp(-1).square().sum() if with_z else ce.new_zeros(())

    ce_sum, z_sum = x_ND.new_zeros(()), x_ND.new_zeros(())
    for x_CD, targets_C in zip(x_ND.split(size), targets_N.split(size), strict=True):
        ce, z = checkpoint(sums, x_CD, targets_C, use_reentrant=False)
        ce_sum, z_sum = ce_sum + ce, z_sum + z
    return ce_sum, z_sum
