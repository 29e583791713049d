"""A feed-forward layer of several experts, of which each token goes through the few that a router chooses.

Tokens are sorted by expert, each expert multiplies its rows at once, and the results go back to their tokens.
On a processor that is as fast as one product of the same size (`benchmarks/experts.py`).

Legend: `B` batch, `T` tokens, `N` tokens of all rows, `D` width, `E` experts, `C` experts of a token,
`M` = N · C pairs of a token and an expert, sorted by expert.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from shizuku.models.decoder_config import DecoderConfig
from shizuku.models.layers.feedforward import FeedForward

Rows = Callable[[Tensor, list[int]], Tensor]
"""What experts make of rows [M, D] that stand together by expert, given how many each gets."""
Exchange = Callable[[Tensor, list[int], Rows], Tensor]
"""Sends rows to where their experts are, lets those compute, and brings the results back."""


@dataclass(frozen=True, slots=True)
class Routing:
    """What one layer's router decided for all tokens of a call."""

    logits_NE: Tensor
    """Logits, with gradient."""
    scores_NE: Tensor
    """Scores of the experts: after softmax or sigmoid."""
    chosen_NC: Tensor
    """The experts of each token, the best first."""
    dropped_NC: Tensor
    """bool: which of them had no room for it."""


@dataclass(slots=True)
class Watch:
    """What an observer of the routers says and hears during a call."""

    padding_N: Tensor | None = None
    """bool: tokens that are none; they are sent to no expert and take no room."""
    seen: list[Routing] = field(default_factory=list)
    """One entry a layer with experts, in their order."""


class Router(nn.Module):
    """Scores the experts for every token and chooses the best. No linear layer: it is never packed, nor
    adapted.
    """

    choice_bias: Tensor | None

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.uniform_(torch.empty(config.experts, config.width), -1.0, 1.0))
        self.register_buffer("choice_bias", torch.zeros(config.experts) if config.router_bias else None)
        self.experts_per_token, self.normalise = config.experts_per_token, config.normalise_experts
        self.score, self.multiplier = config.router_score, config.expert_multiplier

    def forward(self, x_ND: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return logits and scores [N, E], the chosen experts and their weights [N, C]."""
        logits_NE = F.linear(x_ND, self.weight).float()
        scores_NE = logits_NE.softmax(-1) if self.score == "softmax" else logits_NE.sigmoid()
        ranked_NE = scores_NE if self.choice_bias is None else scores_NE + self.choice_bias
        chosen_NC = ranked_NE.detach().topk(self.experts_per_token, dim=-1).indices
        weights_NC = scores_NE.gather(1, chosen_NC)
        if self.normalise:
            weights_NC = weights_NC / weights_NC.sum(-1, keepdim=True)
        if self.multiplier != 1:
            weights_NC = weights_NC * self.multiplier
        return logits_NE, scores_NE, chosen_NC, weights_NC


class Experts(nn.Module):
    """A router, its experts, and those that all tokens share."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()

        def made(hidden: int) -> FeedForward:
            return FeedForward(
                config.width, hidden, activation=config.activation, gated=config.gated, bias=config.mlp_bias
            )

        self.router = Router(config)
        # A dictionary, so that a process may hold some of them, under the same names.
        self.experts = nn.ModuleDict({str(e): made(config.expert_width) for e in range(config.experts)})
        shared = config.shared_experts * config.expert_width
        self.shared = made(shared) if shared else None
        self.count, self.capacity_factor = config.experts, config.capacity_factor
        self.watch: Watch | None = None
        self.exchange: Exchange | None = None

    def forward(self, x_BTD: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Return the layer's contribution to the residual stream."""
        x_ND = x_BTD.reshape(-1, x_BTD.shape[-1])
        logits_NE, scores_NE, chosen_NC, weights_NC = self.router(x_ND)
        padding_N = None if self.watch is None else self.watch.padding_N
        sent_NC = chosen_NC if padding_N is None else chosen_NC.masked_fill(padding_N[:, None], self.count)
        # First choices stand before second ones, so that it is those that find room.
        sent_M = sent_NC.t().reshape(-1)
        order_M = sent_M.argsort(stable=True)
        places_CN = (
            torch.empty_like(order_M).scatter_(0, order_M, _numbers(order_M)).view(sent_NC.shape[::-1])
        )
        counts = torch.bincount(sent_M, minlength=self.count).tolist()[: self.count]
        rows_MD = Take.apply(x_ND, order_M % max(len(x_ND), 1), places_CN.t())
        y_MD = self._room(rows_MD, counts)
        y_MD = y_MD * weights_NC.t().reshape(-1)[order_M][:, None].to(y_MD.dtype)
        y_CND = Take.apply(y_MD, places_CN.reshape(-1), order_M[:, None]).view(
            *places_CN.shape, x_ND.shape[1]
        )
        out_ND = y_CND[0] if len(y_CND) == 1 else y_CND.sum(0)
        if self.watch is not None:
            dropped_NC = self._dropped(counts, places_CN, sent_NC)
            self.watch.seen.append(Routing(logits_NE, scores_NE, chosen_NC, dropped_NC))
        out_BTD = out_ND.view(x_BTD.shape)
        return out_BTD if self.shared is None else out_BTD + self.shared(x_BTD)

    def _limit(self, counts: list[int]) -> int | None:
        """How many rows an expert takes; None: all."""
        if self.capacity_factor is None or not self.training:
            return None
        return math.ceil(self.capacity_factor * sum(counts) / self.count)

    def _room(self, rows_MD: Tensor, counts: list[int]) -> Tensor:
        """What the experts make of the rows that they have room for, and zeros for the others."""
        limit, compute = self._limit(counts), self.exchange
        kept = counts if limit is None else [min(count, limit) for count in counts]
        if sum(kept) == len(rows_MD):
            return self._compute(rows_MD, kept) if compute is None else compute(rows_MD, kept, self._compute)
        starts = [sum(counts[:expert]) for expert in range(self.count)]
        kept_R = torch.cat(
            [torch.arange(start, start + count) for start, count in zip(starts, kept, strict=True)]
        ).to(rows_MD.device)
        taken_RD = rows_MD.index_select(0, kept_R)
        y_RD = self._compute(taken_RD, kept) if compute is None else compute(taken_RD, kept, self._compute)
        return y_RD.new_zeros(len(rows_MD), y_RD.shape[1]).index_copy(0, kept_R, y_RD)

    def _compute(self, rows_MD: Tensor, counts: list[int]) -> Tensor:
        """What this process's experts make of their rows.

        While training, those without any run too: their gradients are zeros and not missing, so that all
        processes sum the same tensors.
        """
        idle = torch.is_grad_enabled()
        pieces = [
            expert(rows_mD)
            for expert, rows_mD in zip(self.experts.values(), rows_MD.split(counts), strict=True)
            if idle or len(rows_mD)
        ]
        return torch.cat(pieces) if pieces else rows_MD

    def _dropped(self, counts: list[int], places_CN: Tensor, sent_NC: Tensor) -> Tensor:
        limit = self._limit(counts)
        if limit is None:
            return torch.zeros_like(sent_NC, dtype=torch.bool)
        starts_E = torch.tensor([*(sum(counts[:expert]) for expert in range(self.count)), 0])
        rank_NC = places_CN.t() - starts_E.to(sent_NC.device)[sent_NC]
        return (rank_NC >= limit) & (sent_NC < self.count)


def _numbers(like_M: Tensor) -> Tensor:
    return torch.arange(len(like_M), device=like_M.device)


class Take(torch.autograd.Function):
    """Rows by number, each of which is taken as often as `back_NC` says from where: the gradient is taken
    in the same way, which is ten times faster than PyTorch's adding up by number.
    """

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, numbers_M: Tensor, back_NC: Tensor) -> Tensor:
        ctx.save_for_backward(back_NC)
        return x_ND.index_select(0, numbers_M)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_MD: Tensor) -> tuple[Tensor, None, None]:
        (back_NC,) = ctx.saved_tensors
        dx_ND = dy_MD.index_select(0, back_NC[:, 0])
        for number in range(1, back_NC.shape[1]):
            dx_ND = dx_ND + dy_MD.index_select(0, back_NC[:, number])
        return dx_ND, None, None


def sparse_layers(model: nn.Module) -> list[Experts]:
    """The layers with experts, in their order."""
    return [module for module in model.modules() if isinstance(module, Experts)]


@contextmanager
def watched(model: nn.Module, padding_BT: Tensor | None = None) -> Iterator[list[Routing]]:
    """Yield a list that fills with what each layer's router decides, a layer after the other.

    `padding_BT` says which tokens of the calls in the `with` are padding.
    """
    watch = Watch(None if padding_BT is None else padding_BT.reshape(-1))
    layers = sparse_layers(model)
    for layer in layers:
        layer.watch = watch
    try:
        yield watch.seen
    finally:
        for layer in layers:
            layer.watch = None
