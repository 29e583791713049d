"""Log-probabilities of given tokens, each with its gradient, without ever holding the whole logits.

Cross entropy is summed before anything is done with it; preferences and policies weigh each answer by what
comes out, so that the gradient's factors are known only behind the forward pass.

Legend: `N` tokens, `D` width, `V` vocabulary, `C` tokens of one chunk.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from shizuku.errors import TrainingError
from shizuku.models.layers.products import outer_sum, product
from shizuku.training.cross_entropy import chunk_tokens


def answer_log_probs(model: Any, batch: Any) -> Tensor:
    """Log-probability [N] in nats of each target that the batch's mask marks, in the order of rows.

    The batch has the tensors of a TensorBatch. TrainingError for targets outside the vocabulary.
    """
    x_BTD = model.hidden(batch.ids_BT, segments_BT=batch.segments_BT, positions_BT=batch.positions_BT)
    return log_probs_of(model, x_BTD[batch.mask_BT], batch.targets_BT[batch.mask_BT])


def log_probs_of(model: Any, x_ND: Tensor, targets_N: Tensor) -> Tensor:
    """The same for outputs of the last block; goes through `unembed` where logits are no plain product."""
    weight_VD = model.unembedding_weight_VD
    if len(targets_N) and int(targets_N.max()) >= len(weight_VD):
        raise TrainingError(
            f"target id {int(targets_N.max())} is outside the model's vocabulary of {len(weight_VD)}: is the "
            "data tokenised with this model's tokenizer?"
        )
    if not torch.is_grad_enabled():
        # An autograd function is told of gradients that could be wanted, whether or not they are.
        x_ND, weight_VD = x_ND.detach(), weight_VD.detach()
    device = x_ND.device.type
    if getattr(model, "linear_unembedding", True):
        products = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x_ND.dtype
        with torch.autocast(device, enabled=False):
            found: Tensor = _LogProbs.apply(x_ND, weight_VD, targets_N, products)
        return found

    def chosen(x_CD: Tensor, targets_C: Tensor) -> Tensor:
        logp_CV = torch.log_softmax(model.unembed(x_CD), dim=-1, dtype=_wide(x_CD.dtype))
        return logp_CV.gather(1, targets_C[:, None])[:, 0]

    size = chunk_tokens(len(weight_VD), x_ND.element_size())
    parts = [
        checkpoint(chosen, x_CD, targets_C, use_reentrant=False)
        for x_CD, targets_C in zip(x_ND.split(size), targets_N.split(size), strict=True)
    ]
    return torch.cat(parts) if parts else x_ND.new_zeros(0)


class _LogProbs(torch.autograd.Function):
    """d log p(t) / d x = W[t] - p W, a vector a token: it is worked out while p is at hand, and only scaled
    in the backward pass. The matrix's own gradient, where it is wanted, needs p once more.
    """

    @staticmethod
    def forward(
        ctx: Any, x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, products: torch.dtype
    ) -> Tensor:
        want_x, want_w = ctx.needs_input_grad[:2]
        chunk = chunk_tokens(weight_VD.shape[0], x_ND.element_size())
        logp_N = x_ND.new_empty(len(x_ND), dtype=_wide(x_ND.dtype))
        dx_ND = torch.empty_like(x_ND) if want_x else None
        cast_VD = weight_VD.to(products)
        for start in range(0, len(x_ND), chunk):
            here = slice(start, start + chunk)
            logp_CV, target_C1 = _log_softmax(x_ND[here].to(products), cast_VD), targets_N[here, None]
            logp_N[here] = logp_CV.gather(1, target_C1)[:, 0]
            if dx_ND is not None:
                p_CV = logp_CV.exp_()
                dx_ND[here] = weight_VD[targets_N[here]] - product(p_CV.to(products), cast_VD.t())
        ctx.save_for_backward(x_ND if want_w else None, weight_VD if want_w else None, targets_N, dx_ND)
        ctx.chunk, ctx.products = chunk, products
        return logp_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dlogp_N: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, weight_VD, targets_N, dx_ND = ctx.saved_tensors
        dx = None if dx_ND is None else dx_ND * dlogp_N[:, None].to(dx_ND.dtype)
        if x_ND is None:
            return dx, None, None, None
        dw_VD, cast_VD = torch.zeros_like(weight_VD), weight_VD.to(ctx.products)
        for start in range(0, len(x_ND), ctx.chunk):
            here = slice(start, start + ctx.chunk)
            x_CD = x_ND[here].to(ctx.products)
            factor_C1, target_C1 = dlogp_N[here, None], targets_N[here, None]
            d_CV = _log_softmax(x_CD, cast_VD).exp_().mul_(-factor_C1)
            d_CV.scatter_add_(1, target_C1, factor_C1)
            dw_VD += outer_sum(d_CV.to(ctx.products), x_CD)
        return dx, dw_VD, None, None


def _log_softmax(x_CD: Tensor, weight_VD: Tensor) -> Tensor:
    logits_CV = product(x_CD, weight_VD)
    return torch.log_softmax(logits_CV, dim=-1, dtype=_wide(logits_CV.dtype))


def _wide(dtype: torch.dtype) -> torch.dtype:
    """float32 for 16 bits."""
    return torch.promote_types(dtype, torch.float32)
