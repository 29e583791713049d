"""The state space of Mamba-2 (Dao and Gu 2024): one decay a head, so that chunks are matrix products.

Per head: h_t = exp(d_t A) h_(t-1) + d_t x_t B_t^T and y_t = h_t C_t, with h of P x N numbers. Inside a chunk
tokens act on each other as in linear attention, C_i B_j times the decay from j to i; a state goes from chunk
to chunk. Decays are exponentials of differences that are never positive, taken in double precision.

Legend: `B` batch, `T` tokens, `H` heads, `P` features of a head, `G` groups of heads with the same B and C,
`M` heads of a group, `N` numbers of a feature's state, `L` and `S` tokens of a chunk, `C` chunks.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 64
"""Tokens of a chunk: the products inside it grow with it, the steps between chunks become fewer."""


def space_by_steps(
    x_BTHP: Float[Tensor, "B T H P"],
    step_BTH: Float[Tensor, "B T H"],
    decay_H: Float[Tensor, " H"],
    b_BTGN: Float[Tensor, "B T G N"],
    c_BTGN: Float[Tensor, "B T G N"],
    state_BHPN: Float[Tensor, "B H P N"],
    starts_BT: Bool[Tensor, "B T"] | None = None,
) -> tuple[Float[Tensor, "B T H P"], Float[Tensor, "B H P N"]]:
    """The recurrence as it is written, token by token; outputs, and the state behind the last token.

    Where `starts_BT` is true a document begins, which knows nothing of what stands before it.
    """
    outputs, each = [], x_BTHP.shape[2] // b_BTGN.shape[2]
    for t in range(x_BTHP.shape[1]):
        kept_BH = torch.exp(step_BTH[:, t] * decay_H)
        if starts_BT is not None:
            kept_BH = kept_BH * ~starts_BT[:, t, None]
        b_BHN, c_BHN = (rows[:, t].repeat_interleave(each, 1) for rows in (b_BTGN, c_BTGN))
        input_BHP = step_BTH[:, t, :, None] * x_BTHP[:, t]
        state_BHPN = kept_BH[..., None, None] * state_BHPN + input_BHP[..., None] * b_BHN[:, :, None]
        outputs.append((state_BHPN @ c_BHN[..., None])[..., 0])
    return torch.stack(outputs, 1), state_BHPN


def state_space(
    x_BTHP: Float[Tensor, "B T H P"],
    step_BTH: Float[Tensor, "B T H"],
    decay_H: Float[Tensor, " H"],
    b_BTGN: Float[Tensor, "B T G N"],
    c_BTGN: Float[Tensor, "B T G N"],
    state_BHPN: Float[Tensor, "B H P N"],
    starts_BT: Bool[Tensor, "B T"] | None = None,
    *,
    chunk: int = CHUNK,
) -> tuple[Float[Tensor, "B T H P"], Float[Tensor, "B H P N"]]:
    """The same in chunks, of which all but the passing on of states is computed at once."""
    batch, tokens, heads, width = x_BTHP.shape
    if tokens == 1:
        return space_by_steps(x_BTHP, step_BTH, decay_H, b_BTGN, c_BTGN, state_BHPN, starts_BT)
    groups, size = b_BTGN.shape[2], min(chunk, tokens)
    missing = -tokens % size  # such tokens add nothing and let nothing fade

    def cut(rows_BT: Tensor, shape: tuple[int, ...]) -> Tensor:
        padded = F.pad(rows_BT.flatten(2), (0, 0, 0, missing))
        return padded.view(batch, -1, size, *shape)

    each = heads // groups
    input_BCLGMP = cut(x_BTHP * step_BTH[..., None], (groups, each, width))
    log_BCLGM = cut(step_BTH * decay_H, (groups, each)).double().cumsum(2)
    b_BCGSN = cut(b_BTGN, b_BTGN.shape[2:]).transpose(2, 3)
    c_BCGLN = cut(c_BTGN, c_BTGN.shape[2:]).transpose(2, 3)
    input_BCGMSP = input_BCLGMP.permute(0, 1, 3, 4, 2, 5)
    log_BCGML = log_BCLGM.permute(0, 1, 3, 4, 2)
    document_BCL = _documents(starts_BT, batch, tokens, missing, x_BTHP.device).view(batch, -1, size)

    together_BCLS = document_BCL[..., None] == document_BCL[..., None, :]
    together_BCLS &= torch.ones(size, size, dtype=torch.bool, device=x_BTHP.device).tril()
    fading_BCGMLS = _Fading.apply(log_BCGML, together_BCLS[:, :, None, None], x_BTHP.dtype)
    scores_BCGLS = c_BCGLN @ b_BCGSN.transpose(-1, -2)
    inside_BCGMLP = (scores_BCGLS[:, :, :, None] * fading_BCGMLS) @ input_BCGMSP
    # What each chunk adds to the state, and how much of the state before it is left.
    made_BCGMPN = (input_BCGMSP * fading_BCGMLS[..., -1, :, None]).transpose(-1, -2) @ b_BCGSN[:, :, :, None]
    before_BC1 = torch.cat([torch.zeros_like(document_BCL[:, :1, 0]), document_BCL[:, :-1, -1]], 1)[..., None]
    reached_BCGML = log_BCGML.to(x_BTHP.dtype).masked_fill(
        (document_BCL != before_BC1)[:, :, None, None], -torch.inf
    )
    reached_BCGML = reached_BCGML.exp()
    state_BGMPN, states = state_BHPN.unflatten(1, (groups, each)), []
    for number in range(made_BCGMPN.shape[1]):
        states.append(state_BGMPN)
        left_BGM = reached_BCGML[:, number, ..., -1]
        state_BGMPN = left_BGM[..., None, None] * state_BGMPN + made_BCGMPN[:, number]
    from_before_BCGMLP = c_BCGLN[:, :, :, None] @ torch.stack(states, 1).transpose(-1, -2)
    y_BCGMLP = torch.addcmul(inside_BCGMLP, from_before_BCGMLP, reached_BCGML[..., None])
    y_BTHP = y_BCGMLP.permute(0, 1, 4, 2, 3, 5).reshape(batch, -1, heads, width)
    return y_BTHP[:, :tokens], state_BGMPN.flatten(1, 2)


class _Fading(torch.autograd.Function):
    """exp(log_i - log_j) where j acts on i, else 0. With P the gradient times the result, log_i gets P's sum
    over j, and log_j the negative one over i.
    """

    @staticmethod
    def forward(ctx: Any, log_BCGML: Tensor, together: Tensor, dtype: torch.dtype) -> Tensor:
        difference = (log_BCGML[..., None] - log_BCGML[..., None, :]).to(dtype)
        fading = difference.masked_fill_(~together, -torch.inf).exp_()
        ctx.save_for_backward(fading)
        ctx.precise = log_BCGML.dtype
        return fading

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dfading: Tensor) -> tuple[Tensor | None, ...]:
        (fading,) = ctx.saved_tensors
        product = dfading * fading
        product.diagonal(
            dim1=-2, dim2=-1
        ).zero_()  # both sums have it, and it may be much larger than all else
        return (product.sum(-1) - product.sum(-2)).to(ctx.precise), None, None


def _documents(
    starts_BT: Tensor | None, batch: int, tokens: int, missing: int, device: torch.device
) -> Tensor:
    """The number of each token's document in its row; 0 is what goes on from the state before."""
    if starts_BT is None:
        return torch.zeros((batch, tokens + missing), dtype=torch.long, device=device)
    numbers_BT = starts_BT.long().cumsum(1)
    return F.pad(numbers_BT[None], (0, missing), mode="replicate")[0] if missing else numbers_BT
