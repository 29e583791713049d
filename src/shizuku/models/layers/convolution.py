"""A short causal convolution of each feature by itself, which does not reach across documents.

Legend: `B` batch, `T` tokens, `I` features, `K` taps, `J` the K - 1 inputs that are remembered.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

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
        weight_KI = self.weight[:, 0].t()
        y_BTI = x_BTI * weight_KI[-1]
        if self.bias is not None:
            y_BTI = y_BTI + self.bias
        for back in range(1, taps):
            earlier_BTI = padded_BSI[:, taps - 1 - back : taps - 1 - back + tokens]
            if call.documents is not None:
                earlier_BTI = earlier_BTI * (call.documents.ages_BT >= back)[..., None]
            y_BTI = torch.addcmul(y_BTI, earlier_BTI, weight_KI[-1 - back])
        return y_BTI
