"""A short causal convolution of every feature by itself, as recurrent layers have it before their memory.

Legend: `B` batch, `T` tokens of this call, `F` features, `W` taps.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


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
        taps_WF, tokens = self.weight[:, 0].t(), x_BTF.shape[1]
        last = len(taps_WF) - 1
        if before_BWF is None:
            before_BWF = x_BTF.new_zeros(len(x_BTF), last, x_BTF.shape[2])
        all_BSF = torch.cat([before_BWF, x_BTF], dim=1)
        y_BTF = x_BTF * taps_WF[last]
        for back in range(1, last + 1):
            begin = last - back
            earlier_BTF, tap_F = all_BSF[:, begin : begin + tokens], taps_WF[begin]
            if ages_BT is not None:
                earlier_BTF = earlier_BTF * (ages_BT >= back)[..., None]
            y_BTF = torch.addcmul(y_BTF, earlier_BTF, tap_F)
        return y_BTF, all_BSF[:, tokens:]
