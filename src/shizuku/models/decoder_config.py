"""The decoder's config: every field names a mechanism, none a family. Nothing here needs torch."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from shizuku.errors import ConfigError

ACTIVATION_NAMES = ("silu", "gelu", "gelu_tanh", "relu", "relu2")
"""Every activation that a config may name; `layers/feedforward.py` has their formulas."""
ScalingKind = Literal["none", "linear", "dynamic", "llama3", "yarn"]
"""Every kind of rotary scaling; `layers/rotary.py` has their formulas."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RotaryScaling:
    """How rotary angles are slowed down so that a model reaches beyond the context it was trained in.

    None of it depends on the length of an input, only on the config: a token's angles are the same whether
    it comes cached or not. So `longrope`, which switches tables with the length, is not here, and `dynamic`
    scales for the context of the config.
    """

    kind: ScalingKind = "none"
    """none, linear (Chen et al. 2023), dynamic (the base grows with the context), llama3 (slow angles only,
    in a ramp over wavelengths) or yarn (slow angles only, in a ramp over features; Peng et al. 2023)."""
    factor: float = 1.0
    """How many times longer the reach becomes."""
    original_context: int = 0
    """Context in tokens before the scaling (dynamic, llama3, yarn)."""
    low_frequency: float = 1.0
    """llama3: an angle that turns fewer times than this within the original context is scaled in full."""
    high_frequency: float = 4.0
    """llama3: an angle that turns more often than this within the original context is left alone."""
    slow_turns: float = 1.0
    """yarn: the same bound as low_frequency, in turns within the original context."""
    fast_turns: float = 32.0
    """yarn: the same bound as high_frequency, in turns within the original context."""
    whole_features: bool = True
    """yarn: round the ends of its ramp outwards to whole features."""
    temperature: float = 0.0
    """yarn: what the turned features are multiplied by; 0 means 0.1 ln(factor) + 1, as in the paper."""

    def __post_init__(self) -> None:
        """Check the fields that the kind uses; the kind itself is checked wherever configs are read."""
        if self.kind != "none" and not self.factor >= 1:
            raise ConfigError(f"rope_scaling.factor is {self.factor}; it must be at least 1")
        if self.kind in ("dynamic", "llama3", "yarn") and self.original_context < 1:
            raise ConfigError(f"rope_scaling.kind {self.kind!r} needs rope_scaling.original_context")
        if not 0 < self.low_frequency < self.high_frequency:
            raise ConfigError(
                "rope_scaling.low_frequency must be above 0 and below rope_scaling.high_frequency"
            )
        if not 0 < self.slow_turns < self.fast_turns:
            raise ConfigError("rope_scaling.slow_turns must be above 0 and below rope_scaling.fast_turns")
        if self.temperature == yarn_temperature(self.factor):
            object.__setattr__(self, "temperature", 0.0)


def yarn_temperature(factor: float, weight: float = 1.0) -> float:
    """Return what YaRN multiplies turned features by, 1 + 0.1 · weight · ln(factor)."""
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderConfig:
    """Every mechanism of a decoder, by what it does; fields that contradict each other raise ConfigError."""

    ARCHITECTURE: ClassVar[str] = "decoder"

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
    norm_offset: bool = False
    """RMS norms multiply by 1 + weight, and start with weights of zero."""
    norm_placement: str = "before"
    """before: attention and feed-forward layer read a normed stream; after: what they add to it is normed;
    both: the two together (a sandwich)."""
    parallel_residual: bool = False
    """Attention and feed-forward layer read the same stream, side by side."""
    shared_norm: bool = False
    """With parallel_residual: they read it through one norm."""
    embedding_norm: bool = False
    """Whether embeddings are normed before the first block."""
    positions: str = "rotary"
    """rotary, learned (a table of `context` rows), alibi (scores fall with distance) or none."""
    rope_theta: float = 10_000.0
    """Base of the rotary angles."""
    rope_local_theta: float | None = None
    """Base in windowed layers, which are then not scaled; None means the same as elsewhere."""
    rope_scaling: RotaryScaling = field(default_factory=RotaryScaling)
    """How rotary angles are scaled for a longer context."""
    rotary_share: float = 1.0
    """Share of a head's features that are turned, the first ones, rounded down."""
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
    unembedding_bias: bool = False
    """Whether the output matrix, untied, adds a bias."""
    qk_norm: bool = False
    """RMS norm of every query and key head before the rotation."""
    qk_norm_joint: bool = False
    """With qk_norm: one norm over the features of all heads together."""
    tie_embeddings: bool = True
    """Whether the output matrix is the embedding matrix."""
    sliding_window: int | None = None
    """In windowed layers a query sees itself and the window - 1 tokens before it; None means no limit."""
    sliding_layers: tuple[bool, ...] | None = None
    """Which layers are windowed, one entry a layer; None means all of them when there is a window."""
    attention_scale: float | None = None
    """Factor on the products of queries and keys; None means 1 / sqrt(head_width)."""
    attention_cap: float | None = None
    """Soft cap: attention scores s become cap · tanh(s / cap)."""
    logit_cap: float | None = None
    """Soft cap of the logits."""
    embedding_multiplier: float = 1.0
    """Factor on the embeddings."""
    residual_multiplier: float = 1.0
    """Factor on what attention and feed-forward layers add to the residual stream."""
    logit_multiplier: float = 1.0
    """Factor on the logits."""
    experts: int = 0
    """Feed-forward layers that a token can be sent to; 0 means that all tokens go through the one."""
    experts_per_token: int = 2
    """How many of them each token is sent to."""
    expert_width: int = 0
    """Hidden features of one expert; 0 means ffn_width."""
    shared_experts: int = 0
    """Experts that every token goes through besides, as one layer that is as many times as wide."""
    sparse_layers: tuple[bool, ...] | None = None
    """Which layers have experts, one entry a layer; None means all of them when there are experts."""
    router_score: str = "softmax"
    """What makes scores of the router's logits: softmax over the experts, or sigmoid of each."""
    normalise_experts: bool = True
    """Whether the weights of a token's experts are divided by their sum."""
    expert_multiplier: float = 1.0
    """Factor on what the experts, without the shared ones, add up to."""
    router_bias: bool = False
    """Whether a bias on the scores helps to choose the experts, without changing their weights; training
    moves it so that all get equally many tokens (Wang et al. 2024, loss-free)."""
    router_bias_rate: float = 0.001
    """How far a training step moves each expert's bias."""
    balance_coefficient: float = 0.01
    """In training: coefficient of the load-balance loss (Fedus et al. 2021, Switch)."""
    router_z_coefficient: float = 0.0
    """In training: coefficient of the mean squared log of the router's normaliser (Zoph et al. 2022)."""
    capacity_factor: float | None = None
    """In training: an expert takes at most this many times its even share of the tokens, and drops the
    rest; None means that it takes all. Nothing is ever dropped outside of training."""

    def __post_init__(self) -> None:
        """Resolve the zeros, bring equal meanings into one spelling, check every field against the others."""
        object.__setattr__(self, "kv_heads", self.kv_heads or self.heads)
        for name in ("vocab_size", "context", "width", "layers", "heads", "kv_heads", "ffn_width"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.head_width == 0:
            if self.width % self.heads:
                raise ConfigError(f"width {self.width} is no multiple of heads {self.heads}: set head_width")
            object.__setattr__(self, "head_width", self.width // self.heads)
        if self.head_width < 1:
            raise ConfigError(f"head_width is {self.head_width}; it must be at least 1")
        if self.heads % self.kv_heads:
            raise ConfigError(f"heads {self.heads} is no multiple of kv_heads {self.kv_heads}")
        _check_norms(self)
        _check_positions(self)
        _check_windows(self)
        _check_factors(self)
        _check_experts(self)

    @property
    def sparse(self) -> tuple[bool, ...]:
        """Whether each layer has experts."""
        return self.sparse_layers or (self.experts > 0,) * self.layers

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The sliding window of each layer, None where a layer sees everything."""
        chosen = self.sliding_layers or (True,) * self.layers
        return tuple(self.sliding_window if sliding else None for sliding in chosen)

    @property
    def rotary_width(self) -> int:
        """How many features of a head are turned."""
        return int(self.head_width * self.rotary_share)


def check_choice(name: str, value: str, allowed: Collection[str]) -> None:
    """ConfigError unless the value is one of those allowed."""
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}; expected one of {', '.join(allowed)}")


def _check_norms(config: DecoderConfig) -> None:
    check_choice("norm", config.norm, ("rmsnorm", "layernorm"))
    check_choice("norm_placement", config.norm_placement, ("before", "after", "both"))
    check_choice("activation", config.activation, ACTIVATION_NAMES)
    if config.norm_bias and config.norm == "rmsnorm":
        raise ConfigError("norm_bias is set, but norm 'rmsnorm' has no bias: choose norm 'layernorm'")
    if config.norm_offset and config.norm == "layernorm":
        raise ConfigError("norm_offset is set, but norm 'layernorm' has no offset: choose norm 'rmsnorm'")
    if not config.norm_eps > 0:
        raise ConfigError(f"norm_eps is {config.norm_eps}; it must be above 0")
    if config.shared_norm and not (config.parallel_residual and config.norm_placement == "before"):
        raise ConfigError("shared_norm needs parallel_residual and norm_placement 'before'")
    if config.qk_norm_joint and not config.qk_norm:
        raise ConfigError("qk_norm_joint is set without qk_norm")


def _check_positions(config: DecoderConfig) -> None:
    check_choice("positions", config.positions, ("rotary", "learned", "alibi", "none"))
    rotary = ("rope_theta", "rope_local_theta", "rotary_share")
    if config.positions != "rotary":
        if config.rope_scaling.kind != "none":
            raise ConfigError(f"rope_scaling is set, but positions are {config.positions!r}")
        return
    if not 0 < config.rotary_share <= 1:
        raise ConfigError(f"rotary_share is {config.rotary_share}; it must be above 0 and at most 1")
    if config.rotary_width % 2 or config.rotary_width == 0:
        share = "" if config.rotary_share == 1 else f" at rotary_share {config.rotary_share}"
        raise ConfigError(
            f"head_width {config.head_width} is odd{share}; rotary positions turn pairs"
            if config.rotary_width
            else f"head_width {config.head_width}{share} leaves nothing to turn"
        )
    for name in rotary:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ConfigError(f"{name} is {value}; it must be above 0")
    if config.rope_local_theta is not None and config.sliding_window is None:
        raise ConfigError("rope_local_theta is set without a sliding_window")


def _check_windows(config: DecoderConfig) -> None:
    if config.sliding_window is not None and config.sliding_window < 1:
        raise ConfigError(f"sliding_window is {config.sliding_window}; it must be at least 1 or None")
    if config.sliding_layers is None:
        return
    if config.sliding_window is None:
        raise ConfigError("sliding_layers is set without a sliding_window")
    if len(config.sliding_layers) != config.layers:
        raise ConfigError(
            f"sliding_layers has {len(config.sliding_layers)} entries for {config.layers} layers"
        )
    everywhere = all(config.sliding_layers)
    object.__setattr__(config, "sliding_layers", None if everywhere else tuple(config.sliding_layers))


def _check_factors(config: DecoderConfig) -> None:
    factors = (
        "attention_scale", "attention_cap", "logit_cap", "embedding_multiplier", "residual_multiplier",
        "logit_multiplier",
    )  # fmt: skip
    for name in factors:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ConfigError(f"{name} is {value}; it must be above 0")
    usual = config.head_width**-0.5
    if config.attention_scale is not None and abs(config.attention_scale - usual) < 1e-9 * usual:
        object.__setattr__(config, "attention_scale", None)
    if config.unembedding_bias and config.tie_embeddings:
        raise ConfigError("unembedding_bias needs tie_embeddings to be off")


def _check_experts(config: DecoderConfig) -> None:
    check_choice("router_score", config.router_score, ("softmax", "sigmoid"))
    if config.experts < 0 or config.shared_experts < 0 or config.expert_width < 0:
        raise ConfigError("experts, shared_experts and expert_width must be at least 0")
    for name in ("router_bias_rate", "balance_coefficient", "router_z_coefficient"):
        if not getattr(config, name) >= 0:
            raise ConfigError(f"{name} is {getattr(config, name)}; it must be at least 0")
    if not config.expert_multiplier > 0 or (
        config.capacity_factor is not None and not config.capacity_factor > 0
    ):
        raise ConfigError("expert_multiplier and capacity_factor must be above 0")
    if config.experts == 0:
        _check_no_experts(config)
        return
    object.__setattr__(config, "expert_width", config.expert_width or config.ffn_width)
    if not 1 <= config.experts_per_token <= config.experts:
        raise ConfigError(
            f"experts_per_token is {config.experts_per_token}; it must be between 1 and experts, "
            f"{config.experts}"
        )
    if config.sparse_layers is None:
        return
    if len(config.sparse_layers) != config.layers:
        raise ConfigError(f"sparse_layers has {len(config.sparse_layers)} entries for {config.layers} layers")
    if not any(config.sparse_layers):
        raise ConfigError("sparse_layers has no layer with experts: leave experts out")
    everywhere = all(config.sparse_layers)
    object.__setattr__(config, "sparse_layers", None if everywhere else tuple(config.sparse_layers))


def _check_no_experts(config: DecoderConfig) -> None:
    if config.sparse_layers is not None or config.shared_experts or config.router_bias or config.expert_width:
        raise ConfigError(
            "sparse_layers, shared_experts, router_bias and expert_width need experts: set experts"
        )
