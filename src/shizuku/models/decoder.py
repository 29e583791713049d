"""The decoder: one config that names mechanisms, one model that has them.

Legend: `B` batch, `T` tokens of this call, `S` all tokens so far, `D` width, `V` vocabulary.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from shizuku.errors import ConfigError, ModelError
from shizuku.models.hooks import HookTable
from shizuku.models.layers.attention import Attention, AttentionCall
from shizuku.models.layers.feedforward import ACTIVATIONS, FeedForward
from shizuku.models.layers.norms import make_norm
from shizuku.models.layers.rotary import Rotation, rotation
from shizuku.models.layers.visibility import (
    Layout,
    Visibility,
    complete_layout,
    plain_layout,
    visible,
    visible_plain,
)  # fmt: skip
from shizuku.models.state import KeyValueState, State


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderConfig:
    """Every mechanism of a decoder, by what it does; fields that contradict each other raise ConfigError."""

    vocab_size: int
    """Number of token ids."""
    context: int
    """Longest sequence in tokens: a position at or beyond it is refused, learned or rotary alike.
    Rotary weights don't depend on it: to go further on purpose, build the model with a longer context."""
    width: int
    """Features of the residual stream."""
    layers: int
    """Number of blocks."""
    heads: int
    """Number of query heads."""
    kv_heads: int = 0
    """Number of key-value heads, a divisor of heads; 0 means as many as heads."""
    head_width: int = 0
    """Features of one head; 0 means width / heads."""
    ffn_width: int
    """Hidden features of the feed-forward layer."""
    norm: str = "rmsnorm"
    """rmsnorm or layernorm."""
    norm_eps: float = 1e-6
    """Added to the variance (or mean square) before the root."""
    norm_bias: bool = False
    """Whether layer norms add a bias."""
    positions: str = "rotary"
    """rotary, learned (a table of `context` rows) or none."""
    rope_theta: float = 10_000.0
    """Base of the rotary angles."""
    activation: str = "silu"
    """silu, gelu, gelu_tanh, relu or relu2 (the square of relu)."""
    gated: bool = True
    """Whether the feed-forward layer multiplies by a second, activated projection (SwiGLU with silu)."""
    attention_bias: bool = False
    """Whether query, key and value projections add a bias."""
    attention_output_bias: bool = False
    """Whether the attention's output projection adds a bias."""
    mlp_bias: bool = False
    """Whether the feed-forward projections add a bias."""
    qk_norm: bool = False
    """RMS norm of every query and key head before the rotation."""
    tie_embeddings: bool = True
    """Whether the output matrix is the embedding matrix."""
    sliding_window: int | None = None
    """In windowed layers a query sees itself and the window - 1 tokens before it; None means no limit."""
    sliding_layers: tuple[bool, ...] | None = None
    """Which layers are windowed, one entry a layer; None means all of them when there is a window."""

    def __post_init__(self) -> None:
        """Resolve the zeros and check every field against the others."""
        object.__setattr__(self, "kv_heads", self.kv_heads or self.heads)
        for field in ("vocab_size", "context", "width", "layers", "heads", "kv_heads", "ffn_width"):
            if getattr(self, field) < 1:
                raise ConfigError(f"{field} is {getattr(self, field)}; it must be at least 1")
        if self.head_width == 0:
            if self.width % self.heads:
                raise ConfigError(f"width {self.width} is no multiple of heads {self.heads}: set head_width")
            object.__setattr__(self, "head_width", self.width // self.heads)
        if self.head_width < 1:
            raise ConfigError(f"head_width is {self.head_width}; it must be at least 1")
        if self.heads % self.kv_heads:
            raise ConfigError(f"heads {self.heads} is no multiple of kv_heads {self.kv_heads}")
        _check_choices(self)
        _check_positions_and_windows(self)

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The sliding window of each layer, None where a layer sees everything."""
        chosen = self.sliding_layers or (True,) * self.layers
        return tuple(self.sliding_window if sliding else None for sliding in chosen)


def _check_choices(config: DecoderConfig) -> None:
    choices = {
        "norm": ("rmsnorm", "layernorm"), "positions": ("rotary", "learned", "none"),
        "activation": tuple(ACTIVATIONS),
    }  # fmt: skip
    for field, allowed in choices.items():
        if getattr(config, field) not in allowed:
            raise ConfigError(f"{field} is {getattr(config, field)!r}; expected one of {', '.join(allowed)}")
    if config.norm_bias and config.norm == "rmsnorm":
        raise ConfigError("norm_bias is set, but norm 'rmsnorm' has no bias: choose norm 'layernorm'")
    if not config.norm_eps > 0:
        raise ConfigError(f"norm_eps is {config.norm_eps}; it must be above 0")


def _check_positions_and_windows(config: DecoderConfig) -> None:
    if config.positions == "rotary":
        if config.head_width % 2:
            raise ConfigError(f"head_width {config.head_width} is odd; rotary positions turn pairs")
        if not config.rope_theta > 0:
            raise ConfigError(f"rope_theta is {config.rope_theta}; it must be above 0")
    if config.sliding_window is not None and config.sliding_window < 1:
        raise ConfigError(f"sliding_window is {config.sliding_window}; it must be at least 1 or None")
    if config.sliding_layers is not None:
        if config.sliding_window is None:
            raise ConfigError("sliding_layers is set without a sliding_window")
        object.__setattr__(config, "sliding_layers", tuple(config.sliding_layers))
        if len(config.sliding_layers) != config.layers:
            raise ConfigError(
                f"sliding_layers has {len(config.sliding_layers)} entries for {config.layers} layers"
            )


@dataclass(frozen=True, slots=True)
class _Pass:
    """What all blocks of one forward pass share."""

    rotation: Rotation | None
    visibilities: Mapping[int | None, Visibility]
    """By sliding window."""
    state: State | None
    hooks: HookTable | None

    def for_layer(self, layer: int, window: int | None) -> AttentionCall:
        prefix = f"blocks.{layer}.attention."
        return AttentionCall(
            visibility=self.visibilities[window],
            rotation=self.rotation,
            append=None if self.state is None else partial(self.state.append, layer),
            tap=None if self.hooks is None else self.hooks.under(prefix),
            eager=self.hooks is not None and self.hooks.wants(f"{prefix}pattern"),
        )


class Block(nn.Module):
    """Attention and feed-forward layer, each normalised before and added after."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        norm = partial(make_norm, config.norm, config.width, eps=config.norm_eps, bias=config.norm_bias)
        self.attention_norm = norm()
        self.attention = Attention(
            config.width, heads=config.heads, kv_heads=config.kv_heads, head_width=config.head_width,
            bias=config.attention_bias, output_bias=config.attention_output_bias,
            norm_eps=config.norm_eps if config.qk_norm else None,
        )  # fmt: skip
        self.feedforward_norm = norm()
        self.feedforward = FeedForward(
            config.width, config.ffn_width,
            activation=config.activation, gated=config.gated, bias=config.mlp_bias,
        )  # fmt: skip

    def forward(
        self, x_BTD: Float[Tensor, "B T D"], call: AttentionCall, tap: HookTable | None
    ) -> Float[Tensor, "B T D"]:
        """Return the residual stream after this block."""
        attended_BTD = self.attention(self.attention_norm(x_BTD), call)
        if tap is not None:
            attended_BTD = tap("attention", attended_BTD)
        x_BTD = x_BTD + attended_BTD
        fed_BTD = self.feedforward(self.feedforward_norm(x_BTD))
        if tap is not None:
            fed_BTD = tap("feedforward", fed_BTD)
        x_BTD = x_BTD + fed_BTD
        return x_BTD if tap is None else tap("residual", x_BTD)


class Decoder(nn.Module):
    """A causal language model with the mechanisms that its config names."""

    def __init__(self, config: DecoderConfig) -> None:
        """Make the model with PyTorch's default weights; see `initialise`."""
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        learned = config.positions == "learned"
        self.position_embedding = nn.Embedding(config.context, config.width) if learned else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.final_norm = make_norm(config.norm, config.width, eps=config.norm_eps, bias=config.norm_bias)
        tied = config.tie_embeddings
        self.unembedding = None if tied else nn.Linear(config.width, config.vocab_size, bias=False)
        self.hooks: HookTable | None = None

    @property
    def unembedding_weight_VD(self) -> Float[Tensor, "V D"]:
        """The matrix that turns the final residual stream into logits."""
        return self.embedding.weight if self.unembedding is None else self.unembedding.weight

    def new_state(
        self, batch: int, capacity: int, dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> KeyValueState:  # fmt: skip
        """Return an empty state for `batch` rows with room for `capacity` tokens before it has to grow."""
        config, weight = self.config, self.embedding.weight
        return KeyValueState(
            layers=config.layers, batch=batch, kv_heads=config.kv_heads, head_width=config.head_width,
            capacity=capacity, dtype=dtype or weight.dtype, device=device or weight.device,
        )  # fmt: skip

    def forward(
        self, ids_BT: Int[Tensor, "B T"] | None = None, *,
        embeddings_BTD: Float[Tensor, "B T D"] | None = None,
        positions_BT: Int[Tensor, "#B T"] | None = None,
        segments_BT: Int[Tensor, "#B T"] | None = None,
        state: State | None = None,
    ) -> Float[Tensor, "B T V"]:  # fmt: skip
        """Return the logits of what comes after each token; arguments and errors as for `hidden`."""
        x_BTD = self.hidden(
            ids_BT, embeddings_BTD=embeddings_BTD, positions_BT=positions_BT, segments_BT=segments_BT,
            state=state,
        )  # fmt: skip
        logits_BTV = self.unembed(x_BTD)
        return logits_BTV if self.hooks is None else self.hooks("logits", logits_BTV)

    def unembed(self, x_D: Float[Tensor, "*dims D"]) -> Float[Tensor, "*dims V"]:
        """Return the logits of final residual streams, as `hidden` gives them."""
        return F.linear(x_D, self.unembedding_weight_VD)

    def hidden(
        self, ids_BT: Int[Tensor, "B T"] | None = None, *,
        embeddings_BTD: Float[Tensor, "B T D"] | None = None,
        positions_BT: Int[Tensor, "#B T"] | None = None,
        segments_BT: Int[Tensor, "#B T"] | None = None,
        state: State | None = None,
    ) -> Float[Tensor, "B T D"]:  # fmt: skip
        """Return the residual stream after the final norm.

        Takes ids or embeddings. Padding is said by `segments_BT`: -1 for padding, else the number of the
        document inside its row; one unpadded document a row when left out. `positions_BT` counts inside the
        segment and is worked out when left out. A `state` puts earlier calls' tokens before these and keeps
        these for the next. Ids outside the vocabulary, positions outside the context and shapes that don't
        fit raise ModelError, and leave the state as it was.
        """
        x_BTD = self._embed(ids_BT, embeddings_BTD)
        batch, tokens = x_BTD.shape[:2]
        if state is not None and state.batch != batch:
            raise ModelError(f"the input has {batch} rows, but the state was made for {state.batch}")
        plain = positions_BT is None and segments_BT is None and (state is None or state.plain)
        start = 0 if state is None else state.length
        everything: Layout | None = None
        if plain:
            self._check_length(start, tokens)
            here_1T = torch.arange(start, start + tokens, device=x_BTD.device)[None]
            visibilities = {
                window: visible_plain(start, tokens, window=window, device=x_BTD.device)
                for window in set(self.config.windows)
            }
        else:
            if state is None:
                nothing = plain_layout(batch, 0, x_BTD.device)
                here = everything = complete_layout(positions_BT, segments_BT, nothing, tokens)
            else:
                here, everything = state.place(positions_BT, segments_BT, tokens)
            here_1T = here.positions_BT
            self._check_positions(here_1T)
            visibilities = {
                window: visible(here, everything, window=window) for window in set(self.config.windows)
            }
        x_BTD = self._run(x_BTD, here_1T, visibilities, state)
        if state is not None:
            state.commit(tokens, everything)
        return x_BTD

    def _run(
        self,
        x_BTD: Float[Tensor, "B T D"],
        positions_BT: Int[Tensor, "#B T"],
        visibilities: Mapping[int | None, Visibility],
        state: State | None,
    ) -> Float[Tensor, "B T D"]:
        hooks, config = self.hooks, self.config
        if self.position_embedding is not None:
            x_BTD = x_BTD + self.position_embedding(positions_BT)
        if hooks is not None:
            x_BTD = hooks("embedding", x_BTD)
        turned = None
        if config.positions == "rotary":
            turned = rotation(
                positions_BT, width=config.head_width, theta=config.rope_theta, dtype=x_BTD.dtype
            )
        shared = _Pass(turned, visibilities, state, hooks)
        for layer, (block, window) in enumerate(zip(self.blocks, config.windows, strict=True)):
            tap = None if hooks is None else hooks.under(f"blocks.{layer}.")
            x_BTD = block(x_BTD, shared.for_layer(layer, window), tap)
        x_BTD = self.final_norm(x_BTD)
        return x_BTD if hooks is None else hooks("final_norm", x_BTD)

    def _embed(
        self, ids_BT: Int[Tensor, "B T"] | None, embeddings_BTD: Float[Tensor, "B T D"] | None
    ) -> Float[Tensor, "B T D"]:
        if (ids_BT is None) == (embeddings_BTD is None):
            raise ModelError("give either ids_BT or embeddings_BTD, and not both")
        if embeddings_BTD is not None:
            if embeddings_BTD.dim() != 3 or embeddings_BTD.shape[-1] != self.config.width:
                raise ModelError(
                    f"embeddings_BTD has shape {tuple(embeddings_BTD.shape)}; "
                    f"expected [batch, tokens, {self.config.width}]"
                )
            return embeddings_BTD
        assert ids_BT is not None, "one of the two was given"
        if ids_BT.dim() != 2 or ids_BT.numel() == 0:
            raise ModelError(
                f"ids_BT has shape {tuple(ids_BT.shape)}; expected [batch, tokens], neither empty"
            )
        # On accelerators the look-up itself traps bad ids, and reading them back here would stall every step.
        if ids_BT.device.type == "cpu" and not torch.compiler.is_compiling():
            low, high = (int(extreme) for extreme in ids_BT.aminmax())
            if low < 0 or high >= self.config.vocab_size:
                raise ModelError(
                    f"token ids run from {low} to {high}, but the vocabulary has {self.config.vocab_size} "
                    "(ids 0 and up): is this the model's own tokenizer? Padding is any valid id, segment -1"
                )
        return self.embedding(ids_BT)

    def _check_length(self, start: int, tokens: int) -> None:
        if start + tokens > self.config.context:
            raise ModelError(
                f"{start + tokens} tokens ({start} of them in the state) are more than the model's context "
                f"of {self.config.context}: shorten the input or use a model with a longer context"
            )

    def _check_positions(self, positions_BT: Int[Tensor, "B T"]) -> None:
        if positions_BT.device.type != "cpu" or torch.compiler.is_compiling():
            return
        low, high = (int(extreme) for extreme in positions_BT.aminmax())
        if low < 0 or high >= self.config.context:
            raise ModelError(
                f"positions run from {low} to {high}, but the model's context is {self.config.context} "
                "(positions 0 and up): shorten the input or use a model with a longer context"
            )


def parameter_count(model: nn.Module, *, embeddings: bool = True) -> int:
    """Return the number of parameters, tied ones once; without `embeddings`, of blocks and norms only."""
    outside = ("embedding.", "position_embedding.", "unembedding.")
    named = model.named_parameters()
    return sum(p.numel() for name, p in named if embeddings or not name.startswith(outside))


@torch.no_grad()
def initialise(model: Decoder, seed: int, *, zero_outputs: bool = False) -> None:
    """Set every parameter from the seed alone.

    Matrices are normal with deviation 1 / sqrt(inputs), those that write into the residual stream divided
    by sqrt(2 layers) so that its variance doesn't grow with depth (Radford et al. 2019), or zero with
    `zero_outputs`; embeddings have deviation 0.02; norms are one, biases zero.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        module = name.split(".")[-2]
        if name.endswith(".bias"):
            parameter.zero_()
        elif parameter.dim() == 1:
            parameter.fill_(1.0)
        else:
            deviation = 0.02 if "embedding" in module else parameter.shape[1] ** -0.5
            if module in ("output", "down"):
                deviation = 0.0 if zero_outputs else deviation / math.sqrt(2 * model.config.layers)
            drawn = torch.randn(parameter.shape, generator=generator) * deviation
            parameter.copy_(drawn)
