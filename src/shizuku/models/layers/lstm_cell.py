"""Long short-term memory, a step at a time or over a whole row.

Legend: `B` batch, `T` steps, `I` inputs, `H` width, `G` = 4 H gate numbers: input, forget, output, candidate.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from shizuku.models.layers.products import Linear

Held = tuple[Float[Tensor, "B H"], Float[Tensor, "B H"]]
"""What a layer holds between steps: its output h and its cell c."""


class LSTMLayer(nn.Module):
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.kept_numbers = 6 * width
        self.input_gates = Linear(inputs, 4 * width)
        self.recurrent_gates = Linear(width, 4 * width, bias=False)

    def empty(self, x: Float[Tensor, "B ..."]) -> Held:
        """Return what a layer holds before the first step."""
        nothing_BH = x.new_zeros(len(x), self.width)
        return nothing_BH, nothing_BH

    def step(self, given_BG: Float[Tensor, "B G"], held: Held) -> Held:
        """Return what is held after a step whose input's part of the gates is `given_BG`."""
        h_BH, c_BH = held
        found: Held = _Cell.apply(given_BG + self.recurrent_gates(h_BH), c_BH)
        return found

    def forward(
        self, x_BTI: Float[Tensor, "B T I"], held: Held, real_BT: Bool[Tensor, "B T"] | None = None
    ) -> tuple[Float[Tensor, "B T H"], Held]:
        """Return the outputs of all steps and what is held in the end; padding changes nothing of that."""
        always = x_BTI.shape[1] if real_BT is None else int(real_BT.sum(1).min())
        outputs = []
        for at, given_BG in enumerate(self.input_gates(x_BTI).unbind(1)):
            h_BH, c_BH = self.step(given_BG, held)
            if at >= always and real_BT is not None:
                real_B1 = real_BT[:, at, None]
                h_BH, c_BH = torch.where(real_B1, h_BH, held[0]), torch.where(real_B1, c_BH, held[1])
            held = h_BH, c_BH
            outputs.append(h_BH)
        return torch.stack(outputs, 1), held


class _Cell(torch.autograd.Function):
    """c' = f c + i tanh(z) and h = o tanh(c'), with the gradient written out: autograd's own takes a pass
    over memory for each of a dozen small steps.
    """

    @staticmethod
    def forward(ctx: Any, gates_BG: Tensor, c_BH: Tensor) -> tuple[Tensor, Tensor]:
        width = c_BH.shape[1]
        open_B3H, z_BH = torch.sigmoid(gates_BG[:, : 3 * width]), torch.tanh(gates_BG[:, 3 * width :])
        i_BH, f_BH, o_BH = open_B3H.split(width, 1)
        new_BH = torch.addcmul(f_BH * c_BH, i_BH, z_BH)
        squashed_BH = torch.tanh(new_BH)
        ctx.save_for_backward(open_B3H, z_BH, c_BH, squashed_BH)
        return o_BH * squashed_BH, new_BH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh_BH: Tensor, dnew_BH: Tensor) -> tuple[Tensor, Tensor]:
        open_B3H, z_BH, c_BH, squashed_BH = ctx.saved_tensors
        width = c_BH.shape[1]
        i_BH, f_BH, o_BH = open_B3H.split(width, 1)
        dc_BH = torch.addcmul(dnew_BH, dh_BH * o_BH, 1 - squashed_BH.square())
        dgates_BG = torch.empty(len(c_BH), 4 * width, dtype=c_BH.dtype, device=c_BH.device)
        di_BH, df_BH, do_BH, dz_BH = dgates_BG.split(width, 1)
        torch.mul(dc_BH, z_BH, out=di_BH)
        torch.mul(dc_BH, c_BH, out=df_BH)
        torch.mul(dh_BH, squashed_BH, out=do_BH)
        torch.mul(dc_BH, i_BH, out=dz_BH)
        dgates_BG[:, : 3 * width].mul_(open_B3H).mul_(1 - open_B3H)
        dz_BH.mul_(1 - z_BH.square())
        return dgates_BG, dc_BH * f_BH


@torch.no_grad()
def open_forget_gates(layer: LSTMLayer, bias: float = 1.0) -> None:
    """Let the cells remember at first (Jozefowicz et al. 2015)."""
    layer.input_gates.bias[layer.width : 2 * layer.width] = bias
