"""Mamba: language models of selective state spaces, Mamba-1 (Gu and Dao 2023) and Mamba-2 (Dao and Gu 2024).

A block widens its input, convolves it over a few tokens, passes it through a state space whose step, input
and output are read from the text itself, gates the result and narrows it again. What a text leaves behind is
of fixed size. With `heads` the state space is Mamba-2's, whose heads share one decay; without, Mamba-1's.

Legend: `B` batch, `T` tokens, `D` width, `I` inner width, `N` numbers of a feature's state, `H` heads, `P`
features of a head, `G` groups, `R` rank of the step.
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
from shizuku.models.layers.norms import RMSNorm, rms_norm
from shizuku.models.layers.products import Linear
from shizuku.models.layers.selective_scan import selective_scan
from shizuku.models.layers.state_space import state_space
from shizuku.models.recurrence import RecurrentCall, RecurrentLanguageModel, Shapes

STEPS = (0.001, 0.1)
"""Between these, evenly in the logarithm, steps begin."""
SLOWEST, FASTEST = 1, 16
"""Between these decays of Mamba-2's heads begin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MambaConfig:
    """The shape of a Mamba model; every field names a mechanism."""

    ARCHITECTURE: ClassVar[str] = "mamba"

    vocab_size: int
    """Tokens in the vocabulary."""
    context: int = 256
    """Tokens of a training row; a text itself may be of any length."""
    width: int = 192
    """Features of the residual stream."""
    layers: int = 4
    """Number of blocks."""
    inner_width: int = 0
    """Features inside a block; 0: twice the width."""
    state_width: int = 16
    """Numbers of each inner feature's state."""
    conv_width: int = 4
    """Tokens that the convolution sees, the present one included."""
    step_rank: int = 0
    """Numbers that a step is made of, without heads; 0: a sixteenth of the width, rounded up."""
    heads: int | None = None
    """Heads that share a decay and a step each (Mamba-2); none: each inner feature has its own, and its own
    decay for each number of its state (Mamba-1)."""
    groups: int = 1
    """With heads: groups of heads that share what is written and read."""
    step_limit: tuple[float, float] | None = None
    """With heads: lowest and highest step; none: 0 and any."""
    conv_bias: bool = True
    """Whether the convolution adds a bias."""
    bias: bool = False
    """Whether a block's first and last projection add a bias."""
    norm_eps: float = 1e-5
    """Added to mean squares before the root."""
    tie_embeddings: bool = True
    """Whether the output matrix is the embedding matrix."""

    def __post_init__(self) -> None:
        at_least(self, "model.", vocab_size=1, context=1, width=1, layers=1)
        at_least(self, "setting ", inner_width=0, state_width=1, conv_width=2, step_rank=0, heads=1, groups=1)
        if self.inner_width == 0:
            object.__setattr__(self, "inner_width", 2 * self.width)
        if self.step_rank == 0:
            object.__setattr__(self, "step_rank", -(-self.width // 16))
        if self.heads is None:
            return
        if self.inner_width % self.heads or self.heads % self.groups:
            raise ConfigError(
                f"heads {self.heads}: expected a divisor of inner_width {self.inner_width} and a multiple of "
                f"groups {self.groups}"
            )


class SelectiveMixer(nn.Module):
    """Mamba-1: each inner feature has its own step, and a decay for each number of its state."""

    def __init__(self, config: MambaConfig) -> None:
        """Make the layer with weights that are only fit to be replaced."""
        super().__init__()
        inner, numbers, rank = config.inner_width, config.state_width, config.step_rank
        self.rank, self.numbers = rank, numbers
        self.input = Linear(config.width, 2 * inner, bias=config.bias)
        self.convolution = CausalConvolution(inner, config.conv_width, bias=config.conv_bias)
        self.selection = Linear(inner, rank + 2 * numbers, bias=False)
        self.step = Linear(rank, inner)
        self.log_decay = nn.Parameter(torch.zeros(inner, numbers))
        self.skip = nn.Parameter(torch.zeros(inner))
        self.output = Linear(inner, config.width, bias=config.bias)

    @property
    def state_shapes(self) -> Shapes:
        """The convolution's last inputs, and the state space's numbers."""
        inner = len(self.skip)
        return {"inputs": self.convolution.state_shape, "space": (self.numbers, inner)}

    @property
    def kept_numbers(self) -> int:
        """Numbers that a token leaves for the backward pass, but for the scan's chunks."""
        return 14 * len(self.skip) + 4 * self.numbers + 2 * self.rank

    def forward(self, x_BTD: Float[Tensor, "B T D"], call: RecurrentCall) -> Float[Tensor, "B T D"]:
        """Return what is added to the residual stream."""
        x_BTI, gate_BTI = self.input(x_BTD).chunk(2, -1)
        x_BTI = F.silu(self.convolution(x_BTI, call))
        sizes = [self.rank, self.numbers, self.numbers]
        step_BTR, b_BTN, c_BTN = self.selection(x_BTI).split(sizes, -1)
        step_BTI = F.softplus(self.step(step_BTR))
        state_BNI = call.held("space")
        if state_BNI is None:
            state_BNI = x_BTI.new_zeros(len(x_BTI), *self.state_shapes["space"])
        starts_BT = None if call.documents is None else call.documents.starts_BT
        decay_NI = -self.log_decay.t().exp()
        y_BTI, state_BNI = selective_scan(x_BTI, step_BTI, decay_NI, b_BTN, c_BTN, state_BNI, starts_BT)
        call.keep("space", state_BNI)
        y_BTI = torch.addcmul(y_BTI, x_BTI, self.skip)
        return self.output(y_BTI * F.silu(gate_BTI))


class HeadsMixer(nn.Module):
    """Mamba-2: heads share a step and a decay each; the result is gated and normed."""

    def __init__(self, config: MambaConfig) -> None:
        """Make the layer with weights that are only fit to be replaced."""
        super().__init__()
        assert config.heads is not None, "the mixer of models with heads"
        inner, shared = config.inner_width, config.groups * config.state_width
        self.heads, self.groups, self.numbers = config.heads, config.groups, config.state_width
        self.sizes = [inner, inner + 2 * shared, config.heads]
        self.limit, self.eps = config.step_limit, config.norm_eps
        self.input = Linear(config.width, sum(self.sizes), bias=config.bias)
        self.convolution = CausalConvolution(self.sizes[1], config.conv_width, bias=config.conv_bias)
        self.step_bias = nn.Parameter(torch.zeros(config.heads))
        self.log_decay = nn.Parameter(torch.zeros(config.heads))
        self.skip = nn.Parameter(torch.zeros(config.heads))
        self.norm = RMSNorm(inner, eps=config.norm_eps)
        self.output = Linear(inner, config.width, bias=config.bias)

    @property
    def state_shapes(self) -> Shapes:
        """The convolution's last inputs, and the state space's numbers."""
        space = (self.heads, self.sizes[0] // self.heads, self.numbers)
        return {"inputs": self.convolution.state_shape, "space": space}

    @property
    def kept_numbers(self) -> int:
        """Numbers that a token leaves for the backward pass."""
        inner, shared = self.sizes[0], self.groups * self.numbers
        return 16 * inner + 12 * shared + 5 * self.heads * 64

    def forward(self, x_BTD: Float[Tensor, "B T D"], call: RecurrentCall) -> Float[Tensor, "B T D"]:
        """Return what is added to the residual stream."""
        gate_BTI, joint_BTJ, step_BTH = self.input(x_BTD).split(self.sizes, -1)
        joint_BTJ = F.silu(self.convolution(joint_BTJ, call))
        shared = self.groups * self.numbers
        x_BTI, b_BTS, c_BTS = joint_BTJ.split([self.sizes[0], shared, shared], -1)
        step_BTH = F.softplus(step_BTH + self.step_bias)
        if self.limit is not None:
            step_BTH = step_BTH.clamp(*self.limit)
        x_BTHP = x_BTI.unflatten(2, (self.heads, -1))
        b_BTGN, c_BTGN = (rows.unflatten(2, (self.groups, -1)) for rows in (b_BTS, c_BTS))
        state_BHPN = call.held("space")
        if state_BHPN is None:
            state_BHPN = x_BTI.new_zeros(len(x_BTI), *self.state_shapes["space"])
        starts_BT = None if call.documents is None else call.documents.starts_BT
        decay_H = -self.log_decay.exp()
        y_BTHP, state_BHPN = state_space(x_BTHP, step_BTH, decay_H, b_BTGN, c_BTGN, state_BHPN, starts_BT)
        call.keep("space", state_BHPN)
        y_BTI = torch.addcmul(y_BTHP, x_BTHP, self.skip[:, None]).flatten(2)
        return self.output(self._normed(y_BTI * F.silu(gate_BTI)))

    def _normed(self, y_BTI: Float[Tensor, "B T I"]) -> Float[Tensor, "B T I"]:
        """Each group's features by their own mean square."""
        if self.groups == 1:
            return self.norm(y_BTI)
        grouped = y_BTI.unflatten(2, (self.groups, -1))
        ones = torch.ones_like(grouped[0, 0, 0])
        return rms_norm(grouped, ones, self.eps).flatten(2) * self.norm.weight


class MambaBlock(nn.Module):
    """A mixer behind a norm, beside the residual stream."""

    def __init__(self, config: MambaConfig) -> None:
        """Make the block with weights that are only fit to be replaced."""
        super().__init__()
        self.norm = RMSNorm(config.width, eps=config.norm_eps)
        self.mixer = SelectiveMixer(config) if config.heads is None else HeadsMixer(config)

    @property
    def state_shapes(self) -> Shapes:
        """The mixer's."""
        return self.mixer.state_shapes

    @property
    def kept_numbers(self) -> int:
        """Numbers that a token leaves for the backward pass."""
        return self.mixer.kept_numbers + 3 * len(self.norm.weight)

    def forward(self, x_BTD: Float[Tensor, "B T D"], call: RecurrentCall) -> Float[Tensor, "B T D"]:
        """Return the residual stream after this block."""
        return x_BTD + self.mixer(self.norm(x_BTD), call)


class Mamba(RecurrentLanguageModel):
    """Blocks of selective state spaces between an embedding and an output matrix."""

    elementwise = frozenset({"log_decay"})

    def __init__(self, config: MambaConfig) -> None:
        """Make the model with weights that are only fit to be replaced; see `initialise`."""
        blocks = (MambaBlock(config) for _ in range(config.layers))
        norm = RMSNorm(config.width, eps=config.norm_eps)
        super().__init__(config, blocks, width=config.width, final_norm=norm, tied=config.tie_embeddings)


@torch.no_grad()
def initialise(model: Mamba, seed: int) -> None:
    """Set every parameter from the seed alone.

    Matrices are normal with deviation 1 / sqrt(inputs), those that write into the residual stream divided by
    sqrt(layers); embeddings have a deviation of 0.02. Decays of Mamba-1 are 1 to N, those of Mamba-2 evenly
    between 1 and 16; steps begin between 0.001 and 0.1; what skips the state space is multiplied by one.
    """
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    for name, parameter in model.named_parameters():
        module, last = name.split(".")[-2:]
        even = torch.rand(parameter.shape, generator=generator)
        if last == "log_decay":
            counted = torch.arange(1, config.state_width + 1.0).expand_as(even) if even.dim() == 2 else None
            drawn = (SLOWEST + (FASTEST - SLOWEST) * even) if counted is None else counted
            parameter.copy_(drawn.log())
        elif last == "step_bias" or (module, last) == ("step", "bias"):
            low, high = map(math.log, STEPS)
            step = torch.exp(low + (high - low) * even)
            parameter.copy_(step + torch.log(-torch.expm1(-step)))  # what softplus makes the step of
        elif last == "skip" or (last == "weight" and parameter.dim() == 1):
            parameter.fill_(1.0)
        elif last == "bias":
            parameter.zero_()
        elif module == "convolution":
            parameter.copy_((2 * even - 1) * config.conv_width**-0.5)
        elif module == "step":
            parameter.copy_((2 * even - 1) * config.step_rank**-0.5)
        else:
            deviation = 0.02 if "embedding" in module else parameter.shape[1] ** -0.5
            if module == "output":
                deviation /= math.sqrt(config.layers)
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)
