"""What training costs: operations counted from the structure, the machine's own peak, energy and price.

A multiply-add counts as 2 operations. Only matrix products are counted, as everywhere in the literature:
norms, activations, softmax and the optimizer come on top and are small (Muon's own products are counted
apart).
"""

import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from shizuku.adapters.surgery import active_adapter, is_adapted, pairs_of
from shizuku.models.architectures import build
from shizuku.models.decoder import DecoderConfig, parameter_count


@dataclass(frozen=True, slots=True)
class TokenCost:
    """Operations of a forward pass for one token; a backward pass takes twice as many, of frozen matrices as
    many.
    """

    blocks: int
    """The projections of all blocks: 2 for each of their weights."""
    attention: int
    """Queries against keys and pattern against values, over the full context: 4 · layers · heads · head
    width · context. A causal kernel may skip half of them; like torch's FlopCounterMode, this counts them
    all."""
    unembedding: int
    """The output matrix, 2 · vocabulary · width; the embedding is a look-up and costs nothing."""

    adapters: int = 0
    """The low-rank products of adapters."""
    frozen: bool = False
    """Whether adapters alone are trained: no matrix of the blocks, nor the output matrix, gets a gradient."""

    @property
    def forward(self) -> int:
        """All of them."""
        return self.blocks + self.attention + self.unembedding + self.adapters

    @property
    def training(self) -> int:
        """Forward and backward: three times the forward pass, of frozen matrices twice. What the lowest
        frozen matrices are spared, as nothing below them is trained, is counted all the same.
        """
        trained = self.attention + self.adapters
        rest = self.blocks + self.unembedding
        return 3 * trained + (2 if self.frozen else 3) * rest


def token_cost(config: Any, tokens: int) -> TokenCost:
    """The cost of one token in rows of `tokens` tokens; biases and norms have no matrix products, and experts
    that a token is not sent to cost nothing.

    Of architectures other than the decoder what the config says itself as `token_operations` counts, else all
    matrices but the embeddings, once a token.
    """
    if hasattr(config, "token_operations"):
        return TokenCost(**config.token_operations(tokens))
    if not isinstance(config, DecoderConfig):
        inside = parameter_total(config, embeddings=False)
        return TokenCost(blocks=2 * inside, attention=0, unembedding=2 * parameter_outputs(config))
    inner, shared = config.heads * config.head_width, config.kv_heads * config.head_width
    attention_weights = config.width * (2 * inner + 2 * shared)
    return TokenCost(
        blocks=2 * (config.layers * attention_weights + sum(_feedforward_weights(config))),
        attention=4 * config.layers * inner * tokens,
        unembedding=2 * config.vocab_size * config.width,
    )


def _feedforward_weights(config: DecoderConfig) -> list[int]:
    """The weights of each layer's feed-forward part that one token is multiplied with."""
    each = (3 if config.gated else 2) * config.width
    chosen = (config.experts_per_token + config.shared_experts) * config.expert_width
    sparse = each * chosen + config.width * config.experts
    return [sparse if has_experts else each * config.ffn_width for has_experts in config.sparse]


def active_parameters(config: Any) -> int:
    """Parameters that one token meets: all of them, without the experts that it is not sent to."""
    if not getattr(config, "experts", 0):
        return parameter_total(config)
    idle = config.experts - config.experts_per_token
    matrices = 3 if config.gated else 2
    one = matrices * config.width * config.expert_width
    one += config.mlp_bias * ((matrices - 1) * config.expert_width + config.width)
    return parameter_total(config) - sum(config.sparse) * idle * one


def model_cost(model: nn.Module, tokens: int) -> TokenCost:
    """The cost of one token of a decoder as it stands, with what is frozen and with its active adapter."""
    cost = token_cost(model.config, tokens)
    if not is_adapted(model):
        return cost
    name = active_adapter(model)
    pairs = {} if name is None else pairs_of(model, name)
    low_rank = 2 * sum(pair.a_RI.numel() + pair.b_OR.numel() for pair in pairs.values())
    return replace(cost, adapters=low_rank, frozen=True)


def parameter_total(config: Any, *, embeddings: bool = True) -> int:
    """Parameters of a model that has not been made; tied embeddings count once."""
    with torch.device("meta"):
        return parameter_count(build(config), embeddings=embeddings)


def parameter_outputs(config: Any) -> int:
    """Parameters of the matrix that makes logits, tied or not."""
    with torch.device("meta"):
        return int(build(config).unembedding_weight_VD.numel())


@lru_cache
def matmul_peak(seconds: float = 0.5) -> float:
    """The fastest matrix product seen in about `seconds`, in operations a second; measured once a process."""
    side = 1024
    own = torch.Generator().manual_seed(0)  # measuring must not move the run's own random state
    a, b = torch.randn(side, side, generator=own), torch.randn(side, side, generator=own)
    out = torch.empty(side, side)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


@dataclass(frozen=True, slots=True)
class Bill:
    """What a run has cost so far."""

    seconds: float
    flops: float
    kilowatt_hours: float | None
    price: float | None

    def to_dict(self) -> dict[str, float]:
        """Plain values; what was not asked for is left out."""
        values = {
            "seconds": self.seconds,
            "flops": self.flops,
            "kilowatt_hours": self.kilowatt_hours,
            "price": self.price,
        }
        return {name: value for name, value in values.items() if value is not None}


def bill(seconds: float, flops: float, *, watts: float | None, price_per_hour: float | None) -> Bill:
    """The bill for `seconds` of work: energy from the power drawn, price from the hourly rate."""
    hours = seconds / 3600
    return Bill(
        seconds=seconds,
        flops=flops,
        kilowatt_hours=None if watts is None else watts * hours / 1000,
        price=None if price_per_hour is None else price_per_hour * hours,
    )
