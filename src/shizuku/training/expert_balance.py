"""What keeps a model's experts in use: a loss beside the objective's own, or a bias moved after each step.

Only tokens whose loss counts are looked at; padding and what merely stands before an answer are not.

Legend: `N` tokens that count, `E` experts, `C` experts of a token, `L` layers with experts.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from shizuku.errors import ConfigError
from shizuku.models.layers.experts import Experts, Routing, sparse_layers, watched
from shizuku.progress import say
from shizuku.training.batches import TensorBatch
from shizuku.training.distribution import sum_over_ranks
from shizuku.training.objectives import NextToken, Objective, Term


def with_balance(objective: Objective, model: nn.Module) -> Objective:
    """The objective, and beside it what the model's experts need; as it is where there are none.

    Objectives with batches of another kind (pairs, rollouts) stay as they are: they tune experts that
    pretraining has balanced.
    """
    layers = sparse_layers(model)
    if not layers or not isinstance(objective, NextToken):
        return objective
    config: Any = model.config
    if config.experts_per_token == 1 < config.experts and config.normalise_experts:
        say(
            "the one expert of a token always weighs 1, so the loss teaches the router nothing: "
            "--model.no-normalise-experts lets it learn"
        )
    return BalancedExperts(objective, model, layers)


def check_not_compiled(model: nn.Module) -> None:
    """ConfigError where the model has experts, whose products have sizes that only the router knows."""
    if sparse_layers(model):
        raise ConfigError("--loop.compile: layers with experts are not compiled: leave it out")


class BalancedExperts:
    """An objective of rows of tokens, with the terms `balance` and `router_z` beside its own.

    `balance` is E · sum over experts of (share of the tokens sent to it) · (its mean probability), the mean
    over layers (Fedus et al. 2021); with C experts a token it is C when all are used alike. The shares are
    those of all processes together (Qiu et al. 2025), so that two learn what one learns. `router_z` is the
    mean over tokens and layers of the squared log of the router's normaliser (Zoph et al. 2022).
    """

    def __init__(self, objective: Objective, model: nn.Module, layers: list[Experts]) -> None:
        config: Any = model.config
        self.objective, self._layers = objective, layers
        coefficients = {"balance": config.balance_coefficient, "router_z": config.router_z_coefficient}
        trained = any(layer.router.weight.requires_grad for layer in layers)
        regular = {
            name: Term(coefficient, data=False)
            for name, coefficient in coefficients.items()
            if coefficient and trained
        }
        self.terms: Mapping[str, Term] = {**objective.terms, **regular}
        self._rate = config.router_bias_rate
        self._step = _Loads(len(layers), layers[0].count)
        self._learned = False

    def counts(self, batch: TensorBatch) -> dict[str, int]:
        """The objective's counts, and for the experts the tokens that count."""
        if self._learned:  # a step counts all its batches before it learns from the first
            self._step, self._learned = _Loads(len(self._layers), self._layers[0].count), False
        own = dict(self.objective.counts(batch))
        tokens = int(batch.mask_BT.sum())
        return own | {name: tokens for name in self.terms if name not in own}

    def loss(self, model: nn.Module, batch: TensorBatch) -> dict[str, Tensor]:
        """The objective's sums, and in training those of the experts' terms."""
        segments_BT = batch.segments_BT
        padding_BT = None if segments_BT is None else segments_BT == -1
        with watched(model, padding_BT) as seen:
            values = dict(self.objective.loss(model, batch))
        if not model.training:
            return values
        self._learned = True
        return values | self._of_routers(seen, batch.mask_BT.reshape(-1))

    def _of_routers(self, seen: list[Routing], mask_N: Tensor) -> dict[str, Tensor]:
        loads_LE = torch.stack([loads_of(routing, mask_N) for routing in seen])
        tokens = int(mask_N.sum())
        summed = torch.tensor(sum_over_ranks([*loads_LE.double().reshape(-1).tolist(), float(tokens)]))
        loads_LE, everywhere = summed[:-1].view_as(loads_LE), float(summed[-1])
        self._step.add(loads_LE, seen, mask_N)
        values: dict[str, Tensor] = {}
        if "balance" in self.terms:
            shares_LE = (loads_LE / max(everywhere, 1.0)).to(mask_N.device, torch.float32)
            each = [
                balance_sum(routing, shares_E, mask_N)
                for routing, shares_E in zip(seen, shares_LE, strict=True)
            ]
            values["balance"] = torch.stack(each).mean()
        if "router_z" in self.terms:
            logs = [routing.logits_NE[mask_N].logsumexp(-1).square().sum() for routing in seen]
            values["router_z"] = torch.stack(logs).mean()
        return values

    def moved(self) -> None:
        """After an optimizer step: move the routers' biases towards equal loads, all by the same length."""
        for layer, loads_E in zip(self._layers, self._step.loads_LE, strict=True):
            bias_E = layer.router.choice_bias
            if bias_E is not None:
                short_E = (loads_E.mean() - loads_E).sign()
                bias_E.add_(short_E.to(bias_E), alpha=self._rate)

    def figures(self) -> dict[str, float]:
        """How the last step's tokens were spread: see docs/mixture-of-experts.md."""
        return self._step.figures()


class _Loads:
    """Where the tokens of one step went, in all its batches."""

    def __init__(self, layers: int, experts: int) -> None:
        self.loads_LE = torch.zeros(layers, experts, dtype=torch.float64)
        self._local = torch.zeros(4, dtype=torch.float64)

    @torch.no_grad()
    def add(self, loads_LE: Tensor, seen: list[Routing], mask_N: Tensor) -> None:
        """Take in a batch: its loads in all processes, and what its tokens met in this one."""
        self.loads_LE += loads_LE
        for routing in seen:
            scores_NE, dropped_NC = routing.scores_NE[mask_N], routing.dropped_NC[mask_N]
            shares_NE = scores_NE / scores_NE.sum(-1, keepdim=True)
            entropy = torch.special.entr(shares_NE).sum()
            self._local += torch.tensor(
                [float(entropy), len(scores_NE), int(dropped_NC.sum()), dropped_NC.numel()]
            ).double()

    def figures(self) -> dict[str, float]:
        """For the log; all processes ask together."""
        entropy, tokens, dropped, pairs = sum_over_ranks(self._local.tolist())
        if not tokens:
            return {}
        uneven_L = self.loads_LE.amax(-1) / self.loads_LE.mean(-1)
        return {
            "experts/load": float(uneven_L.max()),
            "experts/idle": float((self.loads_LE == 0).sum()),
            "experts/dropped": dropped / pairs,
            "experts/entropy": entropy / tokens,
        }


def loads_of(routing: Routing, mask_N: Tensor) -> Tensor:
    """How many of the tokens that count each expert was chosen for [E]."""
    chosen_M = routing.chosen_NC[mask_N].reshape(-1)
    return torch.bincount(chosen_M, minlength=routing.logits_NE.shape[1])


def balance_sum(routing: Routing, shares_E: Tensor, mask_N: Tensor) -> Tensor:
    """A layer's load-balance loss, times the tokens that count; `shares_E` of all go to each expert."""
    scores_NE = routing.scores_NE[mask_N]
    probabilities_NE = scores_NE / scores_NE.sum(-1, keepdim=True)
    return (probabilities_NE.sum(0) * shares_E).sum() * len(shares_E)
