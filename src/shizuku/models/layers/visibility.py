"""Which keys a query may see: one rule, and the cheapest form that says it.

The rule: key j is visible to query i iff they are in the same segment, j's position is not after i's, and
i - j < window where there is one. Segment -1 is padding: it sees only padding, so its rows stay finite
(a softmax over nothing is NaN) and nothing real ever sees it.

Legend: `B` batch, `T` queries (the tokens of this call), `S` keys (what a state holds, then this call's).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from shizuku.errors import ModelError

PADDING = -1
"""The segment number of a slot that holds no token."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each slot of a batch stands."""

    positions_BT: Int[Tensor, "B T"]
    """Position inside the segment; 0 for padding."""
    segments_BT: Int[Tensor, "B T"]
    """Number of the document inside the row, or -1 for padding."""

    def followed_by(self, other: "Layout") -> "Layout":
        """Return the slots of both, these first."""
        return Layout(
            torch.cat([self.positions_BT, other.positions_BT], dim=1),
            torch.cat([self.segments_BT, other.segments_BT], dim=1),
        )


@dataclass(frozen=True, slots=True)
class Visibility:
    """What scaled dot-product attention has to be told."""

    mask_B1TS: Bool[Tensor, "#B 1 #T S"] | None = None
    """True where the key is visible; None when no mask is needed."""
    causal: bool = False
    """Whether the kernel's own causal masking says it all (as many queries as keys)."""
    recent: int | None = None
    """Look at only so many of the last keys; None looks at all."""


def plain_layout(batch: int, length: int, device: torch.device) -> Layout:
    """Return the layout of rows that hold one unpadded segment from position 0."""
    positions_BT = torch.arange(length, device=device).expand(batch, length)
    return Layout(positions_BT, torch.zeros_like(positions_BT))


def complete_layout(
    positions_BT: Int[Tensor, "#B T"] | None,
    segments_BT: Int[Tensor, "#B T"] | None,
    before: Layout,
    tokens: int,
) -> Layout:
    """Return the layout of this call's tokens, filling in what the caller left out.

    Without segments, every row goes on with the segment of its last real token (0 where there is none);
    without positions, each token stands after those of its segment that came before. `before` is the layout
    of what the state holds (possibly of no slots). Shapes that don't fit raise ModelError.
    """
    batch, length = before.segments_BT.shape
    for name, given in (("positions_BT", positions_BT), ("segments_BT", segments_BT)):
        if given is not None and given.shape not in ((batch, tokens), (1, tokens)):
            raise ModelError(f"{name} has shape {tuple(given.shape)}; expected ({batch}, {tokens})")
    if segments_BT is None:
        segments_BT = _last_segments(before)[:, None].expand(batch, tokens)
    segments_BT = segments_BT.long().expand(batch, tokens)
    if positions_BT is None:
        same_BTT = segments_BT[:, :, None] == segments_BT[:, None, :]
        positions_BT = same_BTT.tril(-1).sum(-1)
        if length:
            same_BTS = segments_BT[:, :, None] == before.segments_BT[:, None, :]
            positions_BT = positions_BT + (same_BTS * (before.positions_BT[:, None, :] + 1)).amax(-1)
    positions_BT = positions_BT.long().expand(batch, tokens)
    return Layout(positions_BT.masked_fill(segments_BT == PADDING, 0), segments_BT)


def _last_segments(layout: Layout) -> Int[Tensor, " B"]:
    """Return the segment of each row's last real token, 0 for rows without one."""
    batch, length = layout.segments_BT.shape
    if length == 0:
        return layout.segments_BT.new_zeros(batch)
    slots_BT = torch.arange(length, device=layout.segments_BT.device) * (layout.segments_BT != PADDING)
    return layout.segments_BT.gather(1, slots_BT.amax(1, keepdim=True))[:, 0].clamp(min=0)


def visible(queries: Layout, keys: Layout, *, window: int | None) -> Visibility:
    """Return the rule as a mask, for queries and keys that stand anywhere."""
    segments_BTS = queries.segments_BT[:, :, None] == keys.segments_BT[:, None, :]
    distance_BTS = queries.positions_BT[:, :, None] - keys.positions_BT[:, None, :]
    mask_BTS = segments_BTS & (distance_BTS >= 0)
    if window is not None:
        mask_BTS &= distance_BTS < window
    return Visibility(mask_B1TS=mask_BTS[:, None])


def visible_plain(start: int, tokens: int, *, window: int | None, device: torch.device) -> Visibility:
    """Return the rule for unpadded rows whose `tokens` queries follow `start` slots of one segment."""
    keys = start + tokens
    reaches_back = window is None or keys <= window
    if tokens == 1:
        return Visibility(recent=None if reaches_back else window)
    if start == 0 and reaches_back:
        return Visibility(causal=True)
    queries_T1 = torch.arange(start, keys, device=device)[:, None]
    distance_TS = queries_T1 - torch.arange(keys, device=device)
    mask_TS = distance_TS >= 0
    if window is not None:
        mask_TS &= distance_TS < window
    return Visibility(mask_B1TS=mask_TS[None, None])
