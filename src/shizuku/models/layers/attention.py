"""Self-attention: grouped queries, optional per-head norms, rotary positions, any visibility.

Legend: `B` batch, `T` queries, `S` keys, `D` width, `H` query heads, `G` key-value heads, `K` head width.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from shizuku.models.layers.norms import RMSNorm
from shizuku.models.layers.rotary import Rotation, rotate
from shizuku.models.layers.visibility import Visibility

Append = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Takes new keys and values [B, G, T, K] and returns all that are to be attended to [B, G, S, K]."""
Tap = Callable[[str, Tensor], Tensor]
"""Takes a hook's local name and its tensor; returns the tensor to go on with."""


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """What one layer's attention needs besides its input."""

    visibility: Visibility
    rotation: Rotation | None
    append: Append | None
    """The state's slots for this layer, if there is a state."""
    tap: Tap | None
    """Hook points query, key, value and pattern; None takes the fused path."""
    eager: bool = False
    """Compute the attention pattern openly, for a hook to see or change it."""


class Attention(nn.Module):
    """Multi-head attention in which several query heads may share a key-value head (Ainslie et al. 2023)."""

    def __init__(
        self, width: int, *, heads: int, kv_heads: int, head_width: int, bias: bool, output_bias: bool,
        norm_eps: float | None,
    ) -> None:  # fmt: skip
        """Make the projections; `norm_eps` is the epsilon of per-head query and key norms, None for none."""
        super().__init__()
        self.head_width = head_width
        self.query = nn.Linear(width, heads * head_width, bias=bias)
        self.key = nn.Linear(width, kv_heads * head_width, bias=bias)
        self.value = nn.Linear(width, kv_heads * head_width, bias=bias)
        self.output = nn.Linear(heads * head_width, width, bias=output_bias)
        self.query_norm = None if norm_eps is None else RMSNorm(head_width, eps=norm_eps)
        self.key_norm = None if norm_eps is None else RMSNorm(head_width, eps=norm_eps)

    def forward(self, x_BTD: Float[Tensor, "B T D"], call: AttentionCall) -> Float[Tensor, "B T D"]:
        """Return the layer's contribution to the residual stream."""
        heads_first = (*x_BTD.shape[:2], -1, self.head_width)
        q_BTHK = self.query(x_BTD).view(heads_first)
        k_BTGK = self.key(x_BTD).view(heads_first)
        v_BGTK = self.value(x_BTD).view(heads_first).transpose(1, 2)
        if self.query_norm is not None and self.key_norm is not None:
            q_BTHK, k_BTGK = self.query_norm(q_BTHK), self.key_norm(k_BTGK)
        if call.rotation is not None:
            q_BTHK, k_BTGK = rotate(q_BTHK, call.rotation), rotate(k_BTGK, call.rotation)
        q_BHTK, k_BGTK = q_BTHK.transpose(1, 2), k_BTGK.transpose(1, 2)
        if call.tap is not None:
            q_BHTK = call.tap("query", q_BHTK)
            k_BGTK, v_BGTK = call.tap("key", k_BGTK), call.tap("value", v_BGTK)
        k_BGSK, v_BGSK = (k_BGTK, v_BGTK) if call.append is None else call.append(k_BGTK, v_BGTK)
        if call.visibility.recent is not None:
            k_BGSK, v_BGSK = k_BGSK[:, :, -call.visibility.recent :], v_BGSK[:, :, -call.visibility.recent :]
        if call.eager and call.tap is not None:
            y_BHTK = attend_eagerly(q_BHTK, k_BGSK, v_BGSK, call.visibility, call.tap)
        else:
            y_BHTK = attend(q_BHTK, k_BGSK, v_BGSK, call.visibility)
        return self.output(y_BHTK.transpose(1, 2).reshape(*x_BTD.shape[:2], -1))


def attend(
    q_BHTK: Float[Tensor, "B H T K"],
    k_BGSK: Float[Tensor, "B G S K"],
    v_BGSK: Float[Tensor, "B G S K"],
    visibility: Visibility,
) -> Float[Tensor, "B H T K"]:
    """Return softmax(q k / sqrt(K)) v through the fused kernel."""
    batch, heads, tokens, head_width = q_BHTK.shape
    groups = k_BGSK.shape[1]
    mask = visibility.mask_B1TS
    if tokens == 1:
        # The heads of a group see the same keys, so they can stand where tokens would: nothing is repeated.
        q_BGRK = q_BHTK.reshape(batch, groups, heads // groups, head_width)
        y_BGRK = F.scaled_dot_product_attention(q_BGRK, k_BGSK, v_BGSK, attn_mask=mask)
        return y_BGRK.reshape(batch, heads, 1, head_width)
    return F.scaled_dot_product_attention(
        q_BHTK, k_BGSK, v_BGSK, attn_mask=mask, is_causal=visibility.causal, enable_gqa=heads != groups
    )


def attend_eagerly(
    q_BHTK: Float[Tensor, "B H T K"],
    k_BGSK: Float[Tensor, "B G S K"],
    v_BGSK: Float[Tensor, "B G S K"],
    visibility: Visibility,
    tap: Tap,
) -> Float[Tensor, "B H T K"]:
    """Return what `attend` returns, passing the pattern [B, H, T, S] (rows sum to 1) through the tap."""
    repeats = q_BHTK.shape[1] // k_BGSK.shape[1]
    k_BHSK, v_BHSK = k_BGSK.repeat_interleave(repeats, dim=1), v_BGSK.repeat_interleave(repeats, dim=1)
    scores_BHTS = (q_BHTK @ k_BHSK.transpose(-1, -2)).float() / math.sqrt(q_BHTK.shape[-1])
    mask = visibility.mask_B1TS
    if visibility.causal:
        mask = torch.ones(scores_BHTS.shape[-2:], dtype=torch.bool, device=scores_BHTS.device).tril()
    if mask is not None:
        scores_BHTS = scores_BHTS.masked_fill(~mask, -torch.inf)
    pattern_BHTS = tap("pattern", scores_BHTS.softmax(dim=-1))
    return pattern_BHTS.to(v_BHSK.dtype) @ v_BHSK
