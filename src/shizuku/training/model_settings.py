"""What one may set of a model to be trained: its shape, and what n-grams and translation models ask for."""

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from shizuku.config import at_least as _at_least
from shizuku.errors import ConfigError
from shizuku.models.decoder_config import RotaryScaling


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOverrides:
    """What to change in the preset's shape; what is not given stays as the preset has it."""

    context: Annotated[int | None, tyro.conf.arg(aliases=["-c", "--context"])] = None
    """Tokens in the model's window, and in a training row."""
    width: int | None = None
    """Features of the residual stream."""
    layers: int | None = None
    """Number of blocks."""
    heads: int | None = None
    """Number of query heads."""
    kv_heads: int | None = None
    """Number of key-value heads, a divisor of heads."""
    head_width: int | None = None
    """Features of one head (width / heads)."""
    ffn_width: int | None = None
    """Hidden features of the feed-forward layer."""
    norm: Literal["rmsnorm", "layernorm"] | None = None
    """Kind of norm."""
    norm_eps: float | None = None
    """Added to the variance (or mean square) before the root."""
    norm_bias: bool | None = None
    """Whether layer norms add a bias."""
    norm_offset: bool | None = None
    """RMS norms multiply by 1 + weight."""
    norm_placement: Literal["before", "after", "both"] | None = None
    """Whether norms stand before the attention and feed-forward layers, after them, or both."""
    parallel_residual: bool | None = None
    """Attention and feed-forward layer read the same stream, side by side."""
    shared_norm: bool | None = None
    """With parallel_residual: they read it through one norm."""
    embedding_norm: bool | None = None
    """Whether embeddings are normed before the first block."""
    positions: Literal["rotary", "learned", "alibi", "none"] | None = None
    """How positions are told apart."""
    rope_theta: float | None = None
    """Base of the rotary angles."""
    rope_local_theta: float | None = None
    """Base in windowed layers."""
    rope_scaling: RotaryScaling = field(default_factory=RotaryScaling)
    """How rotary angles are scaled for a longer context."""
    rotary_share: float | None = None
    """Share of a head's features that are turned."""
    activation: Literal["silu", "gelu", "gelu_tanh", "relu", "relu2"] | None = None
    """Activation of the feed-forward layer."""
    gated: bool | None = None
    """Whether the feed-forward layer multiplies by a second, activated projection."""
    attention_bias: bool | None = None
    """Whether query, key and value projections add a bias."""
    attention_output_bias: bool | None = None
    """Whether the attention's output projection adds a bias."""
    mlp_bias: bool | None = None
    """Whether the feed-forward projections add a bias."""
    unembedding_bias: bool | None = None
    """Whether the output matrix, untied, adds a bias."""
    qk_norm: bool | None = None
    """RMS norm of every query and key head before the rotation."""
    qk_norm_joint: bool | None = None
    """With qk_norm: one norm over the features of all heads together."""
    tie_embeddings: bool | None = None
    """Whether the output matrix is the embedding matrix."""
    sliding_window: int | None = None
    """In windowed layers a query sees itself and the window - 1 tokens before it."""
    sliding_layers: tuple[bool, ...] | None = None
    """Which layers are windowed, one entry a layer."""
    attention_scale: float | None = None
    """Factor on the products of queries and keys (1 / sqrt(head_width))."""
    attention_cap: float | None = None
    """Soft cap of the attention scores."""
    logit_cap: float | None = None
    """Soft cap of the logits."""
    embedding_multiplier: float | None = None
    """Factor on the embeddings."""
    residual_multiplier: float | None = None
    """Factor on what attention and feed-forward layers add to the residual stream."""
    logit_multiplier: float | None = None
    """Factor on the logits."""
    experts: int | None = None
    """Feed-forward layers that a token can be sent to; 0: all tokens go through the one."""
    experts_per_token: int | None = None
    """How many of them each token is sent to."""
    expert_width: int | None = None
    """Hidden features of one expert (ffn_width)."""
    shared_experts: int | None = None
    """Experts that every token goes through besides."""
    sparse_layers: tuple[bool, ...] | None = None
    """Which layers have experts, one entry a layer (all)."""
    router_score: Literal["softmax", "sigmoid"] | None = None
    """What makes scores of the router's logits."""
    normalise_experts: bool | None = None
    """Whether the weights of a token's experts are divided by their sum."""
    expert_multiplier: float | None = None
    """Factor on what the experts, without the shared ones, add up to."""
    router_bias: bool | None = None
    """Whether a bias, which training moves, helps to choose the experts, so that all get equally many
    tokens: in place of the balance loss (balance_coefficient 0).
    """
    router_bias_rate: float | None = None
    """How far a step moves each expert's bias."""
    balance_coefficient: float | None = None
    """Coefficient of the load-balance loss; 0 for none."""
    router_z_coefficient: float | None = None
    """Coefficient of the mean squared log of the router's normaliser."""
    capacity_factor: float | None = None
    """In training an expert takes at most this many times its even share of the tokens and drops the rest;
    none given: it takes all.
    """

    def given(self) -> dict[str, object]:
        """The values that were given, by field of DecoderConfig."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value not in (None, RotaryScaling())}


MOST_ORDER = 32
"""Longer n-grams are whole passages: nothing repeats them, and each length takes a pass and a table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NGramSettings:
    """How an n-gram model is counted and smoothed."""

    order: int = 5
    """Tokens of the longest n-grams: the last, and those that it is predicted from."""
    smoothing: Literal["kneser-ney", "katz", "jelinek-mercer", "add-k"] = "kneser-ney"
    """What is taken off seen n-grams for unseen ones: modified Kneser-Ney (Chen and Goodman 1999), Katz's
    Good-Turing discounts, Jelinek-Mercer's mixture, or a constant added to all counts.
    """
    add: float = 1.0
    """What add-k adds."""

    def __post_init__(self) -> None:
        _at_least(self, "ngram.", order=1)
        if self.order > MOST_ORDER:
            raise ConfigError(f"--ngram.order {self.order}: expected at most {MOST_ORDER}")
        if not self.add > 0:
            raise ConfigError(f"--ngram.add {self.add}: expected more than 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class PairSettings:
    """How a translation model learns from pairs of sentences."""

    batch_tokens: int = 4096
    """Tokens of source and target together that a batch has at most, padding counted."""
    label_smoothing: float = 0.1
    """Share of each target token that is spread evenly over the vocabulary."""

    def __post_init__(self) -> None:
        _at_least(self, "pairs.", batch_tokens=4)
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(
                f"--pairs.label-smoothing {self.label_smoothing}: expected 0 or more, and less than 1"
            )
