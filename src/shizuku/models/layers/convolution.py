"""A short causal convolution of each feature by itself, which does not reach across documents.

Legend: `B` batch, `T` tokens, `I` features, `K` taps, `J` the K - 1 inputs that are remembered, `S` those and
the tokens, `N` few of the tokens of all rows.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from shizuku.models.recurrence import RecurrentCall


class CausalConvolution(nn.Module):
    """Sums of the last K inputs of each feature, weighed; the last K - 1 are its state."""

    def __init__(self, width: int, taps: int, *, bias: bool) -> None:
        """Make the layer with weights that are only fit to be replaced."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, 1, taps))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    @property
    def state_shape(self) -> tuple[int, int]:
        """Shape of what it remembers."""
        width, _, taps = self.weight.shape
        return taps - 1, width

    def forward(
        self, x_BTI: Float[Tensor, "B T I"], call: RecurrentCall, name: str = "inputs"
    ) -> Float[Tensor, "B T I"]:
        """Return the sums; what is remembered is the call's tensor `name`."""
        taps, tokens = self.weight.shape[2], x_BTI.shape[1]
        held_BJI = call.held(name)
        if held_BJI is None:
            padded_BSI = F.pad(x_BTI, (0, 0, taps - 1, 0))
        else:
            padded_BSI = torch.cat([held_BJI, x_BTI], 1)
        call.keep(name, padded_BSI[:, tokens:])
        young = None if call.documents is None else _young(call.documents.ages_BT, taps - 1)
        # Autocast leaves 16-bit inputs beside float32 weights, which the gradient does not mix.
        dtype = torch.promote_types(padded_BSI.dtype, self.weight.dtype)
        y_BTI: Tensor = _Taps.apply(padded_BSI.to(dtype), self.weight[:, 0].t(), self.bias, young)
        return y_BTI


Young = tuple[Tensor, Tensor, Tensor]
"""Rows, places and ages of the few tokens before which less than all taps stand in their document."""


def _young(ages_BT: Tensor, least: int) -> Young:
    rows_N, places_N = (ages_BT < least).nonzero(as_tuple=True)
    return rows_N, places_N, ages_BT[rows_N, places_N]


class _Taps(torch.autograd.Function):
    """y[t] = bias + sum over back of w[last - back] x[t - back], back at most the token's age: the young
    tokens are computed anew, which costs less than a mask over all.
    """

    @staticmethod
    def forward(
        ctx: Any, all_BSI: Tensor, taps_KI: Tensor, bias_I: Tensor | None, young: Young | None
    ) -> Tensor:
        last = len(taps_KI) - 1
        tokens = all_BSI.shape[1] - last
        y_BTI = all_BSI[:, last:] * taps_KI[last]
        if bias_I is not None:
            y_BTI += bias_I
        if young is not None:
            rows_N, places_N, ages_N = young
            own_NI = y_BTI[rows_N, places_N]
        for back in range(1, last + 1):
            y_BTI.addcmul_(all_BSI[:, last - back :][:, :tokens], taps_KI[last - back])
            if young is not None:
                earlier_NI = all_BSI[rows_N, places_N + last - back]
                own_NI.addcmul_(earlier_NI.masked_fill_((ages_N < back)[:, None], 0), taps_KI[last - back])
        if young is not None:
            y_BTI[rows_N, places_N] = own_NI
        ctx.save_for_backward(all_BSI, taps_KI)
        ctx.young, ctx.biased = young, bias_I is not None
        return y_BTI

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_BTI: Tensor) -> tuple[Tensor | None, ...]:
        all_BSI, taps_KI = ctx.saved_tensors
        last, tokens = len(taps_KI) - 1, dy_BTI.shape[1]
        dall_BSI, dtaps_KI = torch.zeros_like(all_BSI), torch.empty_like(taps_KI)
        for tap in range(last + 1):
            seen_BTI = all_BSI[:, tap : tap + tokens]
            dall_BSI[:, tap : tap + tokens].addcmul_(dy_BTI, taps_KI[tap])
            dtaps_KI[tap] = torch.linalg.vecdot(dy_BTI, seen_BTI, dim=1).sum(0)
            if ctx.young is not None and tap < last:
                rows_N, places_N, _ = (x[ctx.young[2] < last - tap] for x in ctx.young)
                dy_NI = dy_BTI[rows_N, places_N]
                dall_BSI[rows_N, places_N + tap] -= dy_NI * taps_KI[tap]
                dtaps_KI[tap] -= (dy_NI * all_BSI[rows_N, places_N + tap]).sum(0)
        return dall_BSI, dtaps_KI, dy_BTI.sum((0, 1)) if ctx.biased else None, None
