"""Self-attention: grouped queries, optional query and key norms, rotary positions, any visibility.

Legend: `B` batch, `T` queries, `S` keys, `D` width, `H` query heads, `G` key-value heads, `K` head width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from shizuku.models.decoder_config import DecoderConfig
from shizuku.models.layers.norms import RMSNorm
from shizuku.models.layers.products import Linear
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
    """Hook points query, key, value, pattern and heads; None takes the fused path."""
    eager: bool = False
    """Compute the attention pattern openly, for a hook to see or change it."""


class Attention(nn.Module):
    """Multi-head attention in which several query heads may share a key-value head (Ainslie et al. 2023)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        inner, shared = config.heads * config.head_width, config.kv_heads * config.head_width
        self.head_width = config.head_width
        self.scale, self.cap = config.attention_scale, config.attention_cap
        self.query = Linear(config.width, inner, bias=config.attention_bias)
        self.key = Linear(config.width, shared, bias=config.attention_bias)
        self.value = Linear(config.width, shared, bias=config.attention_bias)
        self.output = Linear(inner, config.width, bias=config.attention_output_bias)
        self.query_norm: RMSNorm | None = None
        self.key_norm: RMSNorm | None = None
        if config.qk_norm:
            widths = (inner, shared) if config.qk_norm_joint else (config.head_width,) * 2
            self.query_norm, self.key_norm = (
                RMSNorm(width, eps=config.norm_eps, offset=config.norm_offset) for width in widths
            )
        self.joint_norms = config.qk_norm_joint

    def forward(self, x_BTD: Float[Tensor, "B T D"], call: AttentionCall) -> Float[Tensor, "B T D"]:
        """Return the layer's contribution to the residual stream."""
        heads_first = (*x_BTD.shape[:2], -1, self.head_width)
        query_norm, key_norm = self.query_norm, self.key_norm
        q, k = self.query(x_BTD), self.key(x_BTD)
        if self.joint_norms and query_norm is not None and key_norm is not None:
            q, k = query_norm(q), key_norm(k)
        q_BTHK, k_BTGK = q.view(heads_first), k.view(heads_first)
        v_BGTK = self.value(x_BTD).view(heads_first).transpose(1, 2)
        if not self.joint_norms and query_norm is not None and key_norm is not None:
            q_BTHK, k_BTGK = query_norm(q_BTHK), key_norm(k_BTGK)
        if call.rotation is not None:
            q_BTHK, k_BTGK = rotate(q_BTHK, call.rotation), rotate(k_BTGK, call.rotation)
        q_BHTK, k_BGTK = q_BTHK.transpose(1, 2), k_BTGK.transpose(1, 2)
        if call.tap is not None:
            q_BHTK = call.tap("query", q_BHTK)
            k_BGTK, v_BGTK = call.tap("key", k_BGTK), call.tap("value", v_BGTK)
        k_BGSK, v_BGSK = (k_BGTK, v_BGTK) if call.append is None else call.append(k_BGTK, v_BGTK)
        if call.visibility.recent is not None:
            k_BGSK, v_BGSK = k_BGSK[:, :, -call.visibility.recent :], v_BGSK[:, :, -call.visibility.recent :]
        if call.eager or self.cap is not None:
            y_BHTK = attend_openly(
                q_BHTK, k_BGSK, v_BGSK, call.visibility, scale=self.scale, cap=self.cap,
                tap=call.tap if call.eager else None,
            )  # fmt: skip
        else:
            y_BHTK = attend(q_BHTK, k_BGSK, v_BGSK, call.visibility, scale=self.scale)
        if call.tap is not None:
            y_BHTK = call.tap("heads", y_BHTK)
        return self.output(y_BHTK.transpose(1, 2).reshape(*x_BTD.shape[:2], -1))


def attend(
    q_BHTK: Float[Tensor, "B H T K"],
    k_BGSK: Float[Tensor, "B G S K"],
    v_BGSK: Float[Tensor, "B G S K"],
    visibility: Visibility,
    *,
    scale: float | None = None,
) -> Float[Tensor, "B H T K"]:
    """Return softmax(scale q k) v through the fused kernel; `scale` is 1 / sqrt(K) unless given."""
    batch, heads, tokens, head_width = q_BHTK.shape
    groups = k_BGSK.shape[1]
    mask = visibility.mask_BHTS
    if mask is not None and mask.is_floating_point():
        mask = mask.to(q_BHTK.dtype)
    if tokens == 1:
        # The heads of a group see the same keys, so they can stand where tokens would: nothing is repeated.
        q_BGRK = q_BHTK.reshape(batch, groups, heads // groups, head_width)
        if mask is not None and mask.shape[1] > 1:
            mask = mask.reshape(mask.shape[0], groups, heads // groups, mask.shape[3])
        y_BGRK = F.scaled_dot_product_attention(q_BGRK, k_BGSK, v_BGSK, attn_mask=mask, scale=scale)
        return y_BGRK.reshape(batch, heads, 1, head_width)
    fused = partial(F.scaled_dot_product_attention, scale=scale, enable_gqa=heads != groups)
    if not visibility.pieces:
        return fused(q_BHTK, k_BGSK, v_BGSK, attn_mask=mask, is_causal=visibility.causal)
    found = []
    for piece in visibility.pieces:
        k, v = (torch.cat([all_BGSK[:, :, part] for part in piece.keys], 2) for all_BGSK in (k_BGSK, v_BGSK))
        mask = piece.mask_BHTS
        mask = mask.to(q_BHTK.dtype) if mask.is_floating_point() else mask
        found.append(fused(q_BHTK[:, :, piece.queries], k, v, attn_mask=mask))
    return torch.cat(found, 2)


def attend_openly(
    q_BHTK: Float[Tensor, "B H T K"],
    k_BGSK: Float[Tensor, "B G S K"],
    v_BGSK: Float[Tensor, "B G S K"],
    visibility: Visibility,
    *,
    scale: float | None = None,
    cap: float | None = None,
    tap: Tap | None = None,
) -> Float[Tensor, "B H T K"]:
    """Return what `attend` returns, with scores s softly capped to cap · tanh(s / cap) (Bello et al. 2017).

    The pattern [B, H, T, S] (rows sum to 1) goes through the tap.
    """
    repeats = q_BHTK.shape[1] // k_BGSK.shape[1]
    k_BHSK, v_BHSK = k_BGSK.repeat_interleave(repeats, dim=1), v_BGSK.repeat_interleave(repeats, dim=1)
    scale = q_BHTK.shape[-1] ** -0.5 if scale is None else scale
    scores_BHTS = (q_BHTK @ k_BHSK.transpose(-1, -2)).float() * scale
    if cap is not None:
        scores_BHTS = cap * torch.tanh(scores_BHTS / cap)
    mask = visibility.mask_BHTS
    if visibility.causal:
        mask = torch.ones(scores_BHTS.shape[-2:], dtype=torch.bool, device=scores_BHTS.device).tril()
    if mask is not None and mask.is_floating_point():
        scores_BHTS = scores_BHTS + mask
    elif mask is not None:
        scores_BHTS = scores_BHTS.masked_fill(~mask, -torch.inf)
    pattern_BHTS = scores_BHTS.softmax(dim=-1)
    if tap is not None:
        pattern_BHTS = tap("pattern", pattern_BHTS)
    return pattern_BHTS.to(v_BHSK.dtype) @ v_BHSK
