"""A language model of gated delta networks (Yang, Kautz and Hatamizadeh 2024): recurrent, without attention.

Every block has a memory for each head, a matrix of fixed size, where attention has all tokens so far; what is
written under a key corrects what stood there (layers/delta_rule.py). It is the linear_attention block of the
Qwen3.5 language models, whose other blocks have attention; here all are of this kind.

Legend: `B` batch, `T` tokens of this call, `D` width, `G` key heads, `H` value heads, `K` features of a key,
`E` features of a value, `F` features that the convolution goes over.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from shizuku.config import at_least
from shizuku.errors import ConfigError
from shizuku.models.layers.convolution import CausalConvolution
from shizuku.models.layers.delta_rule import DeltaInput, chunked, step
from shizuku.models.layers.feedforward import ACTIVATIONS, FeedForward
from shizuku.models.layers.norms import RMSNorm, rms_norm
from shizuku.models.layers.products import Linear
from shizuku.models.recurrence import Documents, RecurrentCall, RecurrentLanguageModel, Shapes

LENGTH_EPS = 1e-6
"""Added to the square of a key's or query's length before it is divided by the root."""
SLOWEST, FASTEST = 0.001, 0.1
"""Steps of time between which heads begin (Gu and Dao 2023): how much they forget with each token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GatedDeltaConfig:
    """The shape of a gated delta network."""

    ARCHITECTURE: ClassVar[str] = "recurrent"

    vocab_size: int
    """Tokens in the vocabulary."""
    context: int = 256
    """Tokens of a training row; a text itself may be of any length."""
    width: int
    """Features of the residual stream."""
    layers: int
    """Number of blocks."""
    heads: int
    """Number of value heads, each with a memory of its own."""
    key_heads: int = 0
    """Number of key and query heads, a divisor of heads; 0 means as many as heads."""
    key_width: int
    """Features of one key head."""
    value_width: int
    """Features of one value head."""
    taps: int = 4
    """Tokens that the convolution over queries, keys and values looks at."""
    ffn_width: int
    """Hidden features of the feed-forward layer."""
    activation: str = "silu"
    """Of the feed-forward layer and of the convolution: silu, gelu, gelu_tanh, relu or relu2."""
    norm_eps: float = 1e-6
    """Added to the mean square before the root."""
    tie_embeddings: bool = True
    """Whether the output matrix is the embedding matrix."""

    def __post_init__(self) -> None:
        if self.key_heads == 0:
            object.__setattr__(self, "key_heads", self.heads)
        at_least(
            self, "model.", vocab_size=1, context=1, width=1, layers=1, heads=1, key_heads=1, key_width=1,
            value_width=1, taps=1, ffn_width=1, norm_eps=0,
        )  # fmt: skip
        if self.heads % self.key_heads:
            raise ConfigError(f"heads {self.heads} is no multiple of key_heads {self.key_heads}")
        if self.activation not in ACTIVATIONS:
            raise ConfigError(
                f"activation {self.activation!r} is not known; expected one of {', '.join(ACTIVATIONS)}"
            )


class GatedDelta(nn.Module):
    """The layer that mixes tokens: queries, keys and values past a short convolution, a memory, a gate."""

    def __init__(self, config: GatedDeltaConfig) -> None:
        """Make the layer with weights that are only fit to be replaced."""
        super().__init__()
        self.config, width, heads = config, config.width, config.heads
        keys, values = config.key_heads * config.key_width, heads * config.value_width
        self.widths = (keys, keys, values)
        self.query, self.key = Linear(width, keys, bias=False), Linear(width, keys, bias=False)
        self.value, self.gate = Linear(width, values, bias=False), Linear(width, values, bias=False)
        self.convolution = CausalConvolution(sum(self.widths), config.taps, bias=False)
        self.share, self.time = Linear(width, heads, bias=False), Linear(width, heads, bias=False)
        self.time_bias = nn.Parameter(torch.zeros(heads))
        self.log_rate = nn.Parameter(torch.zeros(heads))
        self.norm = RMSNorm(config.value_width, eps=config.norm_eps)
        self.output = Linear(values, width, bias=False)
        self.activation = ACTIVATIONS[config.activation]

    @property
    def state_shapes(self) -> Shapes:
        """The memory of every head, and the last inputs of the convolution."""
        config = self.config
        return {
            "memory": (config.heads, config.key_width, config.value_width),
            "inputs": self.convolution.state_shape,
        }

    def forward(self, x_BTD: Float[Tensor, "B T D"], call: RecurrentCall) -> Float[Tensor, "B T D"]:
        """Return the layer's contribution to the residual stream."""
        config, documents = self.config, call.documents
        q_BTF, k_BTF, v_BTF = self._convolved(x_BTD, call)
        rule = step if x_BTD.shape[1] == 1 and documents is None else chunked
        fade_BTH = -self.log_rate.exp() * F.softplus(self.time(x_BTD) + self.time_bias)
        given = DeltaInput(
            self._by_head(q_BTF, config.key_width**-0.5), self._by_head(k_BTF, 1.0),
            v_BTF.unflatten(2, (config.heads, -1)).transpose(1, 2),
            fade_BTH.transpose(1, 2), self.share(x_BTD).sigmoid().transpose(1, 2),
            None if documents is None else _numbers(documents),
        )  # fmt: skip
        read_BHTE, memory_BHKE = rule(given, call.held("memory"))
        call.keep("memory", memory_BHKE)
        gate_BTHE = F.silu(self.gate(x_BTD)).unflatten(2, (config.heads, -1))
        read_BTHE = self.norm(read_BHTE.transpose(1, 2)) * gate_BTHE
        return self.output(read_BTHE.flatten(2))

    def _convolved(self, x_BTD: Tensor, call: RecurrentCall) -> tuple[Tensor, ...]:
        mixed_BTF = torch.cat([self.query(x_BTD), self.key(x_BTD), self.value(x_BTD)], dim=-1)
        return self.activation(self.convolution(mixed_BTF, call)).split(self.widths, dim=-1)

    def _by_head(self, x_BTF: Tensor, length: float) -> Float[Tensor, "B H T K"]:
        """Vectors of this length, those of a key head for all value heads that read with it."""
        config, width = self.config, self.config.key_width
        # To divide by the length is to divide by the root mean square and sqrt(K): there is a layer for it.
        scale_K = x_BTF.new_full((width,), length * width**-0.5)
        x_BTGK = rms_norm(x_BTF.unflatten(2, (config.key_heads, width)), scale_K, LENGTH_EPS / width)
        return x_BTGK.transpose(1, 2).repeat_interleave(config.heads // config.key_heads, dim=1)


def _numbers(documents: Documents) -> Tensor:
    return documents.starts_BT.long().cumsum(1) - 1


class Block(nn.Module):
    """The layer with the memory and a feed-forward layer, each on a normed stream."""

    def __init__(self, config: GatedDeltaConfig) -> None:
        super().__init__()
        self.mixer_norm = RMSNorm(config.width, eps=config.norm_eps, offset=True)
        self.mixer = GatedDelta(config)
        self.feedforward_norm = RMSNorm(config.width, eps=config.norm_eps, offset=True)
        self.feedforward = FeedForward(
            config.width, config.ffn_width, activation=config.activation, gated=True, bias=False
        )

    @property
    def state_shapes(self) -> Shapes:
        """What the layer with the memory keeps."""
        return self.mixer.state_shapes

    @property
    def kept_numbers(self) -> int:
        """Numbers that a token leaves for the backward pass."""
        config = self.mixer.config
        features, values = sum(self.mixer.widths), config.heads * config.value_width
        return 6 * config.width + 8 * features + 8 * values + 4 * config.ffn_width

    def forward(self, x_BTD: Float[Tensor, "B T D"], call: RecurrentCall) -> Float[Tensor, "B T D"]:
        """Return the residual stream after this block."""
        x_BTD = x_BTD + self.mixer(self.mixer_norm(x_BTD), call)
        return x_BTD + self.feedforward(self.feedforward_norm(x_BTD))


class GatedDeltaNet(RecurrentLanguageModel):
    """Blocks with a memory between an embedding and an output matrix."""

    def __init__(self, config: GatedDeltaConfig) -> None:
        """Make the model with weights that are only fit to be replaced; see `initialise`."""
        super().__init__(
            config,
            (Block(config) for _ in range(config.layers)),
            width=config.width,
            final_norm=RMSNorm(config.width, eps=config.norm_eps, offset=True),
            tied=config.tie_embeddings,
        )

    @property
    def dropped(self) -> tuple[nn.Module, ...]:
        """The modules of whose outputs `--loop.dropout` leaves out a share."""
        parts = (part for part in self.blocks.modules() if isinstance(part, GatedDelta | FeedForward))
        return (self.embedding, *parts)


@torch.no_grad()
def initialise(model: GatedDeltaNet, seed: int) -> None:
    """Set every parameter from the seed alone.

    Matrices are normal with deviation 1 / sqrt(inputs), but those that write into the residual stream are
    zero, so that every block begins by doing nothing; embeddings have deviation 0.02; norms scale by one.
    Heads forget at rates between 1 and 16 times steps between `SLOWEST` and `FASTEST`, as those of Mamba-2.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        module, kind = name.split(".")[-2:]
        if kind == "log_rate":
            parameter.uniform_(1, 16, generator=generator).log_()
        elif kind == "time_bias":
            parameter.uniform_(math.log(SLOWEST), math.log(FASTEST), generator=generator)
            parameter.copy_(torch.expm1(parameter.exp()).log())  # softplus of it is that step
        elif parameter.dim() == 1:
            parameter.fill_(1.0 if module == "norm" else 0.0)
        else:
            deviation = 0.02 if "embedding" in module else parameter.shape[-1] ** -0.5
            if module in ("output", "down"):
                deviation = 0.0
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)
