"""A short causal convolution of every feature by itself, as recurrent layers have it before their memory.

Legend: `B` batch, `T` tokens of this call, `F` features, `W` taps, `S` tokens with those before them, `N` few
of the tokens of all rows.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class ShortConvolution(nn.Module):
    """For every feature a weighted sum of the token's number and of those of the tokens just before it."""

    def __init__(self, features: int, taps: int) -> None:
        """Look at `taps` tokens, the token itself among them."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(features, 1, taps))

    def forward(
        self,
        x_BTF: Float[Tensor, "B T F"],
        before_BWF: Float[Tensor, "B W F"] | None,
        ages_BT: Int[Tensor, "B T"] | None,
    ) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B W F"]]:
        """Return the sums, and the last taps - 1 inputs, which the next call stands behind.

        `before_BWF` are those of the call before, or None for zeros. `ages_BT` says how many tokens of its
        document stand before each, and no sum looks further back than that.
        """
        last, (batch, tokens, features) = self.weight.shape[2] - 1, x_BTF.shape
        if before_BWF is None:
            before_BWF = x_BTF.new_zeros(batch, last, features)
        all_BSF = torch.cat([before_BWF, x_BTF], dim=1)
        hidden: list[tuple[Tensor, Tensor]] = []
        if ages_BT is not None:
            hidden = [(ages_BT < back).nonzero(as_tuple=True) for back in range(1, last + 1)]
        y_BTF: Tensor = _Taps.apply(all_BSF, self.weight[:, 0].t(), hidden)
        return y_BTF, all_BSF[:, tokens:]


class _Taps(torch.autograd.Function):
    """y[t] = sum over back of w[last - back] x[t - back]; at the few tokens that `hidden` lists for each back
    the summand is taken away again, which costs less than a mask over all.
    """

    @staticmethod
    def forward(ctx: Any, all_BSF: Tensor, taps_WF: Tensor, hidden: list[tuple[Tensor, Tensor]]) -> Tensor:
        last = len(taps_WF) - 1
        tokens = all_BSF.shape[1] - last
        y_BTF = all_BSF[:, last:] * taps_WF[last]
        for back in range(1, last + 1):
            y_BTF.addcmul_(all_BSF[:, last - back :][:, :tokens], taps_WF[last - back])
        for back, (row_N, token_N) in enumerate(hidden, start=1):
            y_BTF[row_N, token_N] -= all_BSF[row_N, token_N + last - back] * taps_WF[last - back]
        ctx.save_for_backward(all_BSF, taps_WF)
        ctx.hidden = hidden
        return y_BTF

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_BTF: Tensor) -> tuple[Tensor, Tensor, None]:
        all_BSF, taps_WF = ctx.saved_tensors
        last, tokens = len(taps_WF) - 1, dy_BTF.shape[1]
        dall_BSF, dtaps_WF = torch.zeros_like(all_BSF), torch.empty_like(taps_WF)
        for tap in range(last + 1):
            seen_BTF = all_BSF[:, tap : tap + tokens]
            dall_BSF[:, tap : tap + tokens].addcmul_(dy_BTF, taps_WF[tap])
            dtaps_WF[tap] = torch.linalg.vecdot(dy_BTF, seen_BTF, dim=1).sum(0)
        for back, (row_N, token_N) in enumerate(ctx.hidden, start=1):
            tap, dy_NF = last - back, dy_BTF[row_N, token_N]
            dall_BSF[row_N, token_N + tap] -= dy_NF * taps_WF[tap]
            dtaps_WF[tap] -= (dy_NF * all_BSF[row_N, token_N + tap]).sum(0)
        return dall_BSF, dtaps_WF, None
