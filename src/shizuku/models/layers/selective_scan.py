"""The selective state space of Mamba (Gu and Dao 2023): every feature has a few numbers that fade and grow.

Per feature i and number n: h_t = exp(d_t A) h_(t-1) + d_t x_t B_t and y_t = sum over n of C_t h_t, with the
step d_t, B_t and C_t read from the text. No power of a decay is ever divided by another, so that nothing
over- or underflows but what is truly zero.

Legend: `B` batch, `T` tokens, `I` features, `N` numbers of a feature's state, `L` tokens of a chunk.
"""

import functools
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_NUMBERS = 1 << 20
"""Numbers of a chunk's states: what a processor's cache still holds."""


def scan_by_steps(
    x_BTI: Float[Tensor, "B T I"],
    step_BTI: Float[Tensor, "B T I"],
    decay_NI: Float[Tensor, "N I"],
    b_BTN: Float[Tensor, "B T N"],
    c_BTN: Float[Tensor, "B T N"],
    state_BNI: Float[Tensor, "B N I"],
    starts_BT: Bool[Tensor, "B T"] | None = None,
) -> tuple[Float[Tensor, "B T I"], Float[Tensor, "B N I"]]:
    """The recurrence as it is written, token by token; outputs, and the state behind the last token.

    Where `starts_BT` is true a document begins, which knows nothing of what stands before it.
    """
    outputs = []
    for t in range(x_BTI.shape[1]):
        kept_BNI = torch.exp(step_BTI[:, t, None] * decay_NI)
        if starts_BT is not None:
            kept_BNI = kept_BNI * ~starts_BT[:, t, None, None]
        added_BNI = (step_BTI[:, t] * x_BTI[:, t])[:, None] * b_BTN[:, t, :, None]
        state_BNI = kept_BNI * state_BNI + added_BNI
        outputs.append((c_BTN[:, t, None] @ state_BNI)[:, 0])
    return torch.stack(outputs, 1), state_BNI


def selective_scan(
    x_BTI: Float[Tensor, "B T I"],
    step_BTI: Float[Tensor, "B T I"],
    decay_NI: Float[Tensor, "N I"],
    b_BTN: Float[Tensor, "B T N"],
    c_BTN: Float[Tensor, "B T N"],
    state_BNI: Float[Tensor, "B N I"],
    starts_BT: Bool[Tensor, "B T"] | None = None,
) -> tuple[Float[Tensor, "B T I"], Float[Tensor, "B N I"]]:
    """The same in chunks of tokens, with a gradient that keeps only the states between chunks.

    The state behind the last token has no gradient: it is what decoding goes on from.
    """
    if x_BTI.shape[1] == 1:
        return scan_by_steps(x_BTI, step_BTI, decay_NI, b_BTN, c_BTN, state_BNI, starts_BT)
    given = (x_BTI, step_BTI, decay_NI, b_BTN, c_BTN, state_BNI)
    # Autocast leaves 16-bit inputs beside float32 decays: a scan is computed in the wider type, by all.
    dtype = functools.reduce(torch.promote_types, (each.dtype for each in given))
    with torch.autocast(x_BTI.device.type, enabled=False):
        y_BTI, last_BNI = _SelectiveScan.apply(*(each.to(dtype) for each in given), starts_BT)
    return y_BTI, last_BNI


class _Chunk:
    """Decays, additions and states of one chunk, in the order of its tokens."""

    def __init__(
        self, x_LBI: Tensor, step_LBI: Tensor, decay_NI: Tensor, b_LBN: Tensor, before_BNI: Tensor,
        goes_on_LB: Tensor | None,
    ) -> None:  # fmt: skip
        self.input_LBI = step_LBI * x_LBI
        self.kept_LBNI = torch.mul(step_LBI[:, :, None], decay_NI).exp_()
        if goes_on_LB is not None:
            self.kept_LBNI *= goes_on_LB[:, :, None, None]
        self.states_LBNI = self.input_LBI[:, :, None] * b_LBN[..., None]
        state_BNI = before_BNI
        for kept_BNI, added_BNI in zip(self.kept_LBNI, self.states_LBNI, strict=True):
            state_BNI = added_BNI.addcmul_(kept_BNI, state_BNI)


class _SelectiveScan(torch.autograd.Function):
    """With g_t = C_t dy_t + kept_(t+1) g_(t+1), the gradient of the state: what was added and what was kept
    get g_t and g_t h_(t-1).
    """

    @staticmethod
    def forward(
        ctx: Any, x_BTI: Tensor, step_BTI: Tensor, decay_NI: Tensor, b_BTN: Tensor, c_BTN: Tensor,
        state_BNI: Tensor, starts_BT: Tensor | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        goes_on_TB = None if starts_BT is None else (~starts_BT).t().to(x_BTI.dtype)
        x_TBI, step_TBI, b_TBN, c_TBN = (
            each.transpose(0, 1).contiguous() for each in (x_BTI, step_BTI, b_BTN, c_BTN)
        )
        chunk = max(1, CHUNK_NUMBERS // state_BNI.numel())
        y_TBI, before = torch.empty_like(x_TBI), []
        for first in range(0, len(x_TBI), chunk):
            part = slice(first, first + chunk)
            before.append(state_BNI)
            goes_on_LB = None if goes_on_TB is None else goes_on_TB[part]
            made = _Chunk(x_TBI[part], step_TBI[part], decay_NI, b_TBN[part], state_BNI, goes_on_LB)
            torch.matmul(c_TBN[part, :, None], made.states_LBNI, out=y_TBI[part][:, :, None])
            state_BNI = made.states_LBNI[-1].clone()
        ctx.save_for_backward(x_TBI, step_TBI, decay_NI, b_TBN, c_TBN, goes_on_TB, *before)
        ctx.chunk = chunk
        ctx.mark_non_differentiable(state_BNI)
        return y_TBI.transpose(0, 1), state_BNI

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_BTI: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        x_TBI, step_TBI, decay_NI, b_TBN, c_TBN, goes_on_TB, *before = ctx.saved_tensors
        dy_TBI = dy_BTI.transpose(0, 1).contiguous()
        dx_TBI, dstep_TBI, db_TBN, dc_TBN = (
            torch.empty_like(each) for each in (x_TBI, step_TBI, b_TBN, c_TBN)
        )
        ddecay_NI, carried_BNI = torch.zeros_like(decay_NI), torch.zeros_like(before[0])
        for number in reversed(range(len(before))):
            part = slice(number * ctx.chunk, (number + 1) * ctx.chunk)
            goes_on_LB = None if goes_on_TB is None else goes_on_TB[part]
            x_LBI, step_LBI, b_LBN, dy_LBI = x_TBI[part], step_TBI[part], b_TBN[part], dy_TBI[part]
            made = _Chunk(x_LBI, step_LBI, decay_NI, b_LBN, before[number], goes_on_LB)
            grads_LBNI = dy_LBI[:, :, None] * c_TBN[part][..., None]
            for t in reversed(range(len(grads_LBNI))):
                grads_LBNI[t] += carried_BNI
                carried_BNI = made.kept_LBNI[t] * grads_LBNI[t]
            dc_TBN[part] = (made.states_LBNI @ dy_LBI[..., None])[..., 0]
            db_TBN[part] = (grads_LBNI @ made.input_LBI[..., None])[..., 0]
            dinput_LBI = (b_LBN[:, :, None] @ grads_LBNI)[:, :, 0]
            dx_TBI[part] = dinput_LBI * step_LBI
            # From here on the gradient of the exponent, step times decay.
            grads_LBNI *= made.kept_LBNI
            grads_LBNI[1:] *= made.states_LBNI[:-1]
            grads_LBNI[0] *= before[number]
            dstep_TBI[part] = torch.linalg.vecdot(grads_LBNI, decay_NI, dim=2) + dinput_LBI * x_LBI
            grads_LBNI *= step_LBI[:, :, None]
            ddecay_NI += grads_LBNI.sum((0, 1))
        back = [each.transpose(0, 1) for each in (dx_TBI, dstep_TBI, db_TBN, dc_TBN)]
        return back[0], back[1], ddecay_NI, back[2], back[3], carried_BNI, None
