"""Which keys a query may see: one rule, and the cheapest form that says it.

The rule: key j is visible to query i iff they are in the same segment, j's position is not after i's, and
i - j < window where there is one. Segment -1 is padding: it sees only padding, so its rows stay finite
(a softmax over nothing is NaN) and nothing real ever sees it. Segment -2 is the beginning that all documents
of its row have in common: they see it as their own, and it sees only itself.

Legend: `B` batch, `H` heads, `T` queries (the tokens of this call), `S` keys (what a state holds, then this
call's).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from shizuku.errors import ModelError

PADDING = -1
"""The segment number of a slot that holds no token."""
SHARED = -2
"""The segment number of a token that begins every document of its row."""
PIECE = 64
"""Queries that attend together where documents are short beside their row."""
WORTH = 0.8
"""Share of all products at most that must be left for attending piece by piece to pay."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each slot of a batch stands."""

    positions_BT: Int[Tensor, "B T"]
    """Position inside the segment; 0 for padding."""
    segments_BT: Int[Tensor, "B T"]
    """Number of the document inside the row, -1 for padding, -2 for what begins all of them."""

    def followed_by(self, other: "Layout") -> "Layout":
        """Return the slots of both, these first."""
        return Layout(
            torch.cat([self.positions_BT, other.positions_BT], dim=1),
            torch.cat([self.segments_BT, other.segments_BT], dim=1),
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """Some queries in a row, and the keys that any of them sees."""

    queries: slice
    keys: tuple[slice, ...]
    """One range, or the beginning that documents share and one range."""
    mask_BHTS: Tensor
    """The mask between the two."""


@dataclass(frozen=True, slots=True)
class Visibility:
    """What scaled dot-product attention has to be told."""

    mask_BHTS: Bool[Tensor, "#B 1 #T S"] | Float[Tensor, "#B H #T S"] | None = None
    """True where the key is visible, or what is added to the scores; None when no mask is needed."""
    causal: bool = False
    """Whether the kernel's own causal masking says it all (as many queries as keys)."""
    recent: int | None = None
    """Look at only so many of the last keys; None looks at all."""
    pieces: tuple[Piece, ...] = ()
    """The mask cut up, where most of it is empty; else nothing."""


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
        positions_BT = _together(segments_BT, segments_BT).tril(-1).sum(-1)
        if length:
            same_BTS = _together(segments_BT, before.segments_BT)
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


def visible(
    queries: Layout, keys: Layout, *, window: int | None, slopes_H: Float[Tensor, " H"] | None = None
) -> Visibility:
    """Return the rule as a mask, for queries and keys that stand anywhere.

    With `slopes_H` the mask is added to the scores: -slope · (i - j) where j is visible (ALiBi).
    """
    segments_BTS = _together(queries.segments_BT, keys.segments_BT)
    distance_BTS = queries.positions_BT[:, :, None] - keys.positions_BT[:, None, :]
    mask_BTS = segments_BTS & (distance_BTS >= 0)
    if window is not None:
        mask_BTS &= distance_BTS < window
    mask_BHTS = mask_BTS[:, None]
    if slopes_H is not None:
        bias_BHTS = -slopes_H[:, None, None] * distance_BTS[:, None]
        mask_BHTS = bias_BHTS.masked_fill(~mask_BHTS, -torch.inf)
    return Visibility(mask_BHTS, pieces=_pieces(mask_BTS, mask_BHTS, queries) if queries is keys else ())


def visible_both_ways(layout: Layout) -> Visibility:
    """Return the rule of encoders: a token sees all tokens of its segment, those behind it too."""
    mask_BTS = _together(layout.segments_BT, layout.segments_BT)
    mask_BHTS = mask_BTS[:, None]
    return Visibility(mask_BHTS, pieces=_pieces(mask_BTS, mask_BHTS, layout))


def _pieces(mask_BTS: Bool[Tensor, "B T T"], mask_BHTS: Tensor, layout: Layout) -> tuple[Piece, ...]:
    """Return the mask in pieces without the keys that nobody in them sees, if that leaves much less to do.

    A query that is padding keeps itself alone in sight, which is enough for its row to stay finite.
    """
    tokens = mask_BTS.shape[1]
    if tokens < 2 * PIECE or mask_BTS.device.type != "cpu" or torch.compiler.is_compiling():
        return ()
    real_BT1 = layout.segments_BT[:, :, None] != PADDING
    shared = int((layout.segments_BT == SHARED).sum(1).min())
    found, products = [], 0
    for start in range(0, tokens, PIECE):
        queries = slice(start, min(start + PIECE, tokens))
        seen_S = (mask_BTS[:, queries] & real_BT1[:, queries]).flatten(0, 1).any(0)
        seen_S[queries] = True
        seen = seen_S.nonzero()[:, 0].tolist()
        first, last = seen[0], seen[-1] + 1
        later = next((key for key in seen if key >= shared), shared)
        apart = first < shared < later
        keys = (slice(first, shared), slice(later, last)) if apart else (slice(first, last),)
        parts = [mask_BHTS[:, :, queries, part] for part in keys]
        found.append(Piece(queries, keys, torch.cat(parts, -1)))
        products += found[-1].mask_BHTS[0, 0].numel()
    return tuple(found) if products <= WORTH * tokens**2 else ()


def _together(queries_BT: Int[Tensor, "B T"], keys_BS: Int[Tensor, "B S"]) -> Bool[Tensor, "B T S"]:
    """Return whether the key belongs to the query's document, by their segments."""
    queries_BT1, keys_B1S = queries_BT[:, :, None], keys_BS[:, None, :]
    return (queries_BT1 == keys_B1S) | ((keys_B1S == SHARED) & (queries_BT1 != PADDING))


def alibi_slopes(heads: int, device: torch.device) -> Float[Tensor, " H"]:
    """Return how fast each head's scores fall with distance (Press et al. 2022).

    A geometric series from 2^(-8/n) to 2^-8 for n heads, a power of two; other counts take every second
    slope of the series for twice as many besides.
    """
    whole = 1 << (heads.bit_length() - 1)
    exponents = [8 * n / whole for n in range(1, whole + 1)]
    exponents += [4 * n / whole for n in range(1, 2 * whole, 2)][: heads - whole]
    return 2.0 ** -torch.tensor(exponents, dtype=torch.float32, device=device)


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
    return Visibility(mask_BHTS=mask_TS[None, None])
