"""The decoder: one model with the mechanisms that its config names.

Legend: `B` batch, `T` tokens of this call, `S` all tokens so far, `D` width, `V` vocabulary.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from shizuku.errors import ModelError
from shizuku.models.decoder_config import DecoderConfig
from shizuku.models.hooks import HookTable
from shizuku.models.layers.attention import Attention, AttentionCall
from shizuku.models.layers.embedding import embedding_table
from shizuku.models.layers.experts import Experts
from shizuku.models.layers.feedforward import FeedForward
from shizuku.models.layers.norms import make_norm
from shizuku.models.layers.products import Linear, linear
from shizuku.models.layers.rotary import Rotation, rotation
from shizuku.models.layers.token_ids import check_positions, embedded
from shizuku.models.layers.visibility import (
    Layout,
    Visibility,
    alibi_slopes,
    complete_layout,
    plain_layout,
    visible,
    visible_plain,
)
from shizuku.models.state import KeyValueState, State

__all__ = ["Block", "Decoder", "DecoderConfig", "initialise", "parameter_count"]


@dataclass(frozen=True, slots=True)
class _Pass:
    """What all blocks of one forward pass share; mappings go by a layer's sliding window."""

    rotations: Mapping[int | None, Rotation | None]
    visibilities: Mapping[int | None, Visibility]
    state: State | None
    hooks: HookTable | None

    def for_layer(self, layer: int, window: int | None) -> AttentionCall:
        prefix = f"blocks.{layer}.attention."
        return AttentionCall(
            visibility=self.visibilities[window],
            rotation=self.rotations[window],
            append=None if self.state is None else partial(self.state.append, layer),
            tap=None if self.hooks is None else self.hooks.under(prefix),
            eager=self.hooks is not None and self.hooks.wants(f"{prefix}pattern"),
        )


class Block(nn.Module):
    """Attention and feed-forward layer, normed before, after or both, one after the other or side by side."""

    def __init__(self, config: DecoderConfig, sparse: bool = False) -> None:
        super().__init__()
        before, after = config.norm_placement != "after", config.norm_placement != "before"
        own = before and not config.shared_norm
        self.attention_norm = norm_of(config) if before else None
        self.attention = Attention(config)
        self.attention_output_norm = norm_of(config) if after else None
        self.feedforward_norm = norm_of(config) if own else None
        self.feedforward = (
            Experts(config)
            if sparse
            else FeedForward(
                config.width, config.ffn_width,
                activation=config.activation, gated=config.gated, bias=config.mlp_bias,
            )
        )  # fmt: skip
        self.feedforward_output_norm = norm_of(config) if after else None
        self.parallel, self.shared_norm = config.parallel_residual, config.shared_norm
        self.multiplier = config.residual_multiplier
        self.adjusts = after or self.multiplier != 1

    def forward(
        self, x_BTD: Float[Tensor, "B T D"], call: AttentionCall, tap: HookTable | None
    ) -> Float[Tensor, "B T D"]:
        """Return the residual stream after this block."""
        norm = self.attention_norm
        normed_BTD = x_BTD if norm is None else norm(x_BTD)
        added_BTD = self.attention(normed_BTD, call)
        if self.adjusts:
            added_BTD = self._adjusted(added_BTD, self.attention_output_norm)
        if tap is not None:
            added_BTD = tap("attention", added_BTD)
        read_BTD, x_BTD = x_BTD, x_BTD + added_BTD
        if not self.shared_norm:
            read_BTD, norm = read_BTD if self.parallel else x_BTD, self.feedforward_norm
            normed_BTD = read_BTD if norm is None else norm(read_BTD)
        added_BTD = self.feedforward(normed_BTD)
        if self.adjusts:
            added_BTD = self._adjusted(added_BTD, self.feedforward_output_norm)
        if tap is not None:
            added_BTD = tap("feedforward", added_BTD)
        x_BTD = x_BTD + added_BTD
        return x_BTD if tap is None else tap("residual", x_BTD)

    def _adjusted(self, added_BTD: Tensor, norm: nn.Module | None) -> Tensor:
        if norm is not None:
            added_BTD = norm(added_BTD)
        return added_BTD if self.multiplier == 1 else added_BTD * self.multiplier


def norm_of(config: DecoderConfig) -> nn.Module:
    """Return a norm of the residual stream."""
    return make_norm(
        config.norm, config.width, eps=config.norm_eps, bias=config.norm_bias, offset=config.norm_offset
    )


class Decoder(nn.Module):
    """A causal language model with the mechanisms that its config names."""

    def __init__(self, config: DecoderConfig) -> None:
        """Make the model with weights that are only fit to be replaced; see `initialise`."""
        super().__init__()
        self.config = config
        self.embedding = embedding_table(config.vocab_size, config.width)
        learned = config.positions == "learned"
        self.position_embedding = embedding_table(config.context, config.width) if learned else None
        self.embedding_norm = norm_of(config) if config.embedding_norm else None
        self.blocks = nn.ModuleList(Block(config, sparse) for sparse in config.sparse)
        self.final_norm = norm_of(config)
        self.unembedding: nn.Linear | None = None
        if not config.tie_embeddings:
            self.unembedding = Linear(config.width, config.vocab_size, bias=config.unembedding_bias)
        self.hooks: HookTable | None = None

    @property
    def unembedding_weight_VD(self) -> Float[Tensor, "V D"]:
        """The matrix that turns the final residual stream into logits."""
        return self.embedding.weight if self.unembedding is None else self.unembedding.weight

    @property
    def linear_unembedding(self) -> bool:
        """Whether logits are nothing but the products of `hidden` with `unembedding_weight_VD`."""
        return self.config.logit_cap is None and not self.config.unembedding_bias

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
        logits_BTV, hooks = self.unembed(x_BTD), self.hooks
        return logits_BTV if hooks is None else hooks("logits", logits_BTV)

    def unembed(self, x_D: Float[Tensor, "*dims D"]) -> Float[Tensor, "*dims V"]:
        """Return the logits of final residual streams, as `hidden` gives them."""
        bias_V, cap = None if self.unembedding is None else self.unembedding.bias, self.config.logit_cap
        logits_V = linear(x_D, self.unembedding_weight_VD, bias_V)
        return logits_V if cap is None else cap * torch.tanh(logits_V / cap)

    def hidden(
        self, ids_BT: Int[Tensor, "B T"] | None = None, *,
        embeddings_BTD: Float[Tensor, "B T D"] | None = None,
        positions_BT: Int[Tensor, "#B T"] | None = None,
        segments_BT: Int[Tensor, "#B T"] | None = None,
        state: State | None = None,
    ) -> Float[Tensor, "B T D"]:  # fmt: skip
        """Return the residual stream after the final norm, times the logits' multiplier.

        Takes ids or embeddings. Padding is said by `segments_BT`: -1 for padding, -2 for a beginning that all
        documents of the row have in common (see layers/visibility.py), else the number of the document inside
        its row; one unpadded document a row when left out. `positions_BT` counts inside the
        segment and is worked out when left out. A `state` puts earlier calls' tokens before these and keeps
        these for the next. Ids outside the vocabulary, positions outside the context and shapes that don't
        fit raise ModelError, and leave the state as it was.
        """
        x_BTD = embedded(self.embedding, self.config, ids_BT, embeddings_BTD)
        batch, tokens = x_BTD.shape[:2]
        if state is not None and state.batch != batch:
            raise ModelError(f"the input has {batch} rows, but the state was made for {state.batch}")
        plain = positions_BT is None and segments_BT is None and (state is None or state.plain)
        start = 0 if state is None else state.length
        everything: Layout | None = None
        if plain:
            self._check_length(start, tokens)
            here_1T = torch.arange(start, start + tokens, device=x_BTD.device)[None]
            visibilities = self._plain_visibilities(start, here_1T)
        else:
            if state is None:
                nothing = plain_layout(batch, 0, x_BTD.device)
                here = everything = complete_layout(positions_BT, segments_BT, nothing, tokens)
            else:
                here, everything = state.place(positions_BT, segments_BT, tokens)
            here_1T = here.positions_BT
            check_positions(here_1T, self.config.context)
            visibilities = self._visibilities(here, everything)
        x_BTD = self._run(x_BTD, here_1T, visibilities, state)
        if state is not None:
            state.commit(tokens, everything)
        return x_BTD

    def _plain_visibilities(
        self, start: int, positions_1T: Int[Tensor, "1 T"]
    ) -> dict[int | None, Visibility]:
        tokens, device = positions_1T.shape[1], positions_1T.device
        if self.config.positions == "alibi":
            here = Layout(positions_1T, torch.zeros_like(positions_1T))
            return self._visibilities(here, plain_layout(1, start + tokens, device))
        windows = set(self.config.windows)
        return {window: visible_plain(start, tokens, window=window, device=device) for window in windows}

    def _visibilities(self, here: Layout, everything: Layout) -> dict[int | None, Visibility]:
        alibi, device = self.config.positions == "alibi", here.positions_BT.device
        slopes_H = alibi_slopes(self.config.heads, device) if alibi else None
        windows = set(self.config.windows)
        return {window: visible(here, everything, window=window, slopes_H=slopes_H) for window in windows}

    def _rotations(
        self, positions_BT: Int[Tensor, "#B T"], dtype: torch.dtype
    ) -> dict[int | None, Rotation | None]:
        config, windows = self.config, set(self.config.windows)
        if config.positions != "rotary":
            return dict.fromkeys(windows)
        turn = partial(rotation, positions_BT, width=config.rotary_width, dtype=dtype)
        everywhere = turn(theta=config.rope_theta, scaling=config.rope_scaling, context=config.context)
        found: dict[int | None, Rotation | None] = dict.fromkeys(windows, everywhere)
        if config.rope_local_theta is not None:
            found[config.sliding_window] = turn(theta=config.rope_local_theta)
        return found

    def _run(
        self,
        x_BTD: Float[Tensor, "B T D"],
        positions_BT: Int[Tensor, "#B T"],
        visibilities: Mapping[int | None, Visibility],
        state: State | None,
    ) -> Float[Tensor, "B T D"]:
        hooks, config = self.hooks, self.config
        if config.embedding_multiplier != 1:
            x_BTD = x_BTD * config.embedding_multiplier
        if self.position_embedding is not None:
            x_BTD = x_BTD + self.position_embedding(positions_BT)
        if self.embedding_norm is not None:
            x_BTD = self.embedding_norm(x_BTD)
        if hooks is not None:
            x_BTD = hooks("embedding", x_BTD)
        shared = _Pass(self._rotations(positions_BT, x_BTD.dtype), visibilities, state, hooks)
        for layer, (block, window) in enumerate(zip(self.blocks, config.windows, strict=True)):
            tap = None if hooks is None else hooks.under(f"blocks.{layer}.")
            x_BTD = block(x_BTD, shared.for_layer(layer, window), tap)
        x_BTD = self.final_norm(x_BTD)
        if hooks is not None:
            x_BTD = hooks("final_norm", x_BTD)
        return x_BTD if config.logit_multiplier == 1 else x_BTD * config.logit_multiplier

    def _check_length(self, start: int, tokens: int) -> None:
        if start + tokens > self.config.context:
            raise ModelError(
                f"{start + tokens} tokens ({start} of them in the state) are more than the model's context "
                f"of {self.config.context}: shorten the input or use a model with a longer context"
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
    `zero_outputs`; embeddings and routers have deviation 0.02; norms scale by one, biases are zero.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        module = name.split(".")[-2]
        if name.endswith(".bias"):
            parameter.zero_()
        elif parameter.dim() == 1:
            parameter.fill_(0.0 if model.config.norm_offset else 1.0)
        else:
            small = "embedding" in module or module == "router"
            deviation = 0.02 if small else parameter.shape[1] ** -0.5
            if module in ("output", "down"):
                deviation = 0.0 if zero_outputs else deviation / math.sqrt(2 * model.config.layers)
            drawn = torch.randn(parameter.shape, generator=generator) * deviation
            parameter.copy_(drawn)
