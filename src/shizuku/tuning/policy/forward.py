"""The training forward: log-probabilities, entropies and values of the tokens of answers.

Legend: `B` rows, `T` tokens of a row, `N` tokens of answers, `C` of one chunk, `D` width, `V` vocabulary.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from shizuku.models.layers.products import outer_sum, product
from shizuku.training.cross_entropy import chunk_tokens


@dataclass(frozen=True, slots=True)
class AnswerBatch:
    """Prompts with their answers, one a row, padded behind."""

    ids_BT: Tensor
    """int64: the inputs."""
    targets_BT: Tensor
    """int64: what comes after each input."""
    mask_BT: Tensor
    """bool: True where the target is a token of the answer."""
    segments_BT: Tensor
    """int64: 0, and -1 where there is padding."""
    logp_BT: Tensor
    """Log-probabilities of the targets when they were drawn (nats, at the temperature)."""
    reference_BT: Tensor
    """Those of the reference."""
    advantages_BT: Tensor
    """How much better than expected each target was."""
    values_BT: Tensor
    """What the value model expected."""
    returns_BT: Tensor
    """What it should have expected."""

    def to(self, device: torch.device) -> "AnswerBatch":
        """The same batch on `device`."""
        return AnswerBatch(**{name: tensor.to(device) for name, tensor in self.tensors().items()})

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and tokens in a row."""
        return self.ids_BT.shape[0], self.ids_BT.shape[1]

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def policy_logprobs(
    model: Any, batch: AnswerBatch, *, temperature: float, entropy_gradient: bool = False
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"], Float[Tensor, "B T D"]]:
    """Log-probabilities and entropies (nats, at the temperature) of the answers' tokens, and the stream that
    they were read from.

    Entropies have a gradient only if `entropy_gradient`.
    """
    x_BTD = model.hidden(batch.ids_BT, segments_BT=batch.segments_BT)
    x_ND, targets_N = x_BTD[batch.mask_BT], batch.targets_BT[batch.mask_BT]
    plain = getattr(model, "linear_unembedding", True) and not torch.is_autocast_enabled(x_ND.device.type)
    if entropy_gradient or not plain:
        found = by_autograd(model, x_ND, targets_N, temperature)
    else:
        weight_VD = model.unembedding_weight_VD
        if not torch.is_grad_enabled():
            # An autograd function is told of gradients that could be wanted, whether or not they are.
            x_ND, weight_VD = x_ND.detach(), weight_VD.detach()
        found = _TokenLogProbs.apply(x_ND, weight_VD, targets_N, temperature)
    return found[0], found[1], x_BTD


def by_autograd(
    model: Any, x_ND: Float[Tensor, "N D"], targets_N: Int[Tensor, " N"], temperature: float
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Log-probability of each target and entropy of its distribution, both with gradients."""

    def of_chunk(x_CD: Tensor, targets_C: Tensor) -> tuple[Tensor, Tensor]:
        logp_CV = torch.log_softmax(model.unembed(x_CD).float() / temperature, -1)
        return logp_CV.gather(1, targets_C[:, None])[:, 0], -(logp_CV.exp() * logp_CV).sum(-1)

    size = chunk_tokens(model.config.vocab_size, x_ND.element_size())
    parts = [
        checkpoint(of_chunk, x_CD, targets_C, use_reentrant=False)
        for x_CD, targets_C in zip(x_ND.split(size), targets_N.split(size), strict=True)
    ]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


class _TokenLogProbs(torch.autograd.Function):
    """With T the temperature, d log p(t) / d x = (W[t] - p W) / T: a vector a token, worked out while p is at
    hand and only scaled in the backward pass. The matrix's own gradient, where wanted, needs p once more.
    """

    @staticmethod
    def forward(
        ctx: Any, x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        want_x, want_w = ctx.needs_input_grad[:2]
        chunk = chunk_tokens(weight_VD.shape[0], x_ND.element_size())
        logp_N, entropy_N = x_ND.new_empty(len(x_ND)), x_ND.new_empty(len(x_ND))
        dx_ND = torch.empty_like(x_ND) if want_x else None
        for start in range(0, len(x_ND), chunk):
            here = slice(start, start + chunk)
            logp_CV = _log_softmax(x_ND[here], weight_VD, temperature)
            logp_N[here] = logp_CV.gather(1, targets_N[here, None])[:, 0]
            p_CV = logp_CV.exp()
            entropy_N[here] = -(p_CV * logp_CV).sum(-1)
            if dx_ND is not None:
                dx_ND[here] = (weight_VD[targets_N[here]] - product(p_CV, weight_VD.t())) / temperature
        ctx.save_for_backward(x_ND if want_w else None, weight_VD if want_w else None, targets_N, dx_ND)
        ctx.chunk, ctx.temperature = chunk, temperature
        ctx.mark_non_differentiable(entropy_N)
        return logp_N, entropy_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dlogp_N: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, weight_VD, targets_N, dx_ND = ctx.saved_tensors
        dx = None if dx_ND is None else dx_ND * dlogp_N[:, None]
        if x_ND is None:
            return dx, None, None, None
        dw_VD = torch.zeros_like(weight_VD)
        for start in range(0, len(x_ND), ctx.chunk):
            here = slice(start, start + ctx.chunk)
            factor_C1 = dlogp_N[here, None] / ctx.temperature
            d_CV = _log_softmax(x_ND[here], weight_VD, ctx.temperature).exp_().mul_(-factor_C1)
            d_CV.scatter_add_(1, targets_N[here, None], factor_C1)
            dw_VD += outer_sum(d_CV, x_ND[here])
        return dx, dw_VD, None, None


def _log_softmax(x_CD: Tensor, weight_VD: Tensor, temperature: float) -> Tensor:
    logits_CV = product(x_CD, weight_VD)
    return torch.log_softmax(logits_CV if temperature == 1 else logits_CV / temperature, dim=-1)
