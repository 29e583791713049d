"""The encoder: every token sees all of its text, before it and behind it (Devlin et al. 2018, BERT).

Legend: `B` batch, `T` tokens, `N` tokens or texts picked out, `D` width, `V` vocabulary.
"""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from shizuku.errors import ModelError
from shizuku.models.encoder_config import EncoderConfig
from shizuku.models.hooks import HookTable
from shizuku.models.layers.attention import Attention, AttentionCall
from shizuku.models.layers.embedding import embedding_table
from shizuku.models.layers.feedforward import ACTIVATIONS, FeedForward
from shizuku.models.layers.products import Linear, linear
from shizuku.models.layers.token_ids import check_ids, check_positions
from shizuku.models.layers.visibility import (
    SHARED,
    Visibility,
    complete_layout,
    plain_layout,
    visible_both_ways,
)

__all__ = ["Encoder", "EncoderConfig", "bare", "initialise"]


class EncoderBlock(nn.Module):
    """Attention and feed-forward layer; the stream is normed after each has been added to it (post-norm)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.attention = Attention(config.attention)
        self.attention_norm = _norm(config)
        self.feedforward = FeedForward(
            config.width, config.ffn_width, activation=config.activation, gated=False, bias=True
        )
        self.feedforward_norm = _norm(config)
        self.kept_numbers = 12 * config.width + 2 * config.ffn_width
        """Numbers of a token that the forward pass keeps for the backward pass, masks counted."""

    def forward(
        self, x_BTD: Float[Tensor, "B T D"], call: AttentionCall, tap: HookTable | None
    ) -> Float[Tensor, "B T D"]:
        """Return the stream after this block."""
        added_BTD = self.attention(x_BTD, call)
        if tap is not None:
            added_BTD = tap("attention", added_BTD)
        x_BTD = self.attention_norm(x_BTD + added_BTD)
        added_BTD = self.feedforward(x_BTD)
        if tap is not None:
            added_BTD = tap("feedforward", added_BTD)
        x_BTD = self.feedforward_norm(x_BTD + added_BTD)
        return x_BTD if tap is None else tap("residual", x_BTD)


class MaskHead(nn.Module):
    """A layer and a norm before the output matrix, and the bias behind it."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = Linear(config.width, config.width)
        self.activation = ACTIVATIONS[config.activation]
        self.norm = _norm(config)
        self.output_bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(
        self, x_D: Float[Tensor, "*dims D"], weight_VD: Float[Tensor, "V D"]
    ) -> Float[Tensor, "*dims V"]:
        """Return the logits of what stands at each token."""
        return linear(self.norm(self.activation(self.dense(x_D))), weight_VD, self.output_bias)


class Encoder(nn.Module):
    """A model that reads a whole text at once, with the heads that its config names."""

    def __init__(self, config: EncoderConfig) -> None:
        """Make the model with weights that are only fit to be replaced; see `initialise`."""
        super().__init__()
        self.config = config
        self.embedding = embedding_table(config.vocab_size, config.width)
        self.position_embedding = embedding_table(config.context, config.width)
        types = config.token_types
        self.type_embedding = embedding_table(types, config.width) if types else None
        self.embedding_norm = _norm(config)
        self.blocks = nn.ModuleList(EncoderBlock(config) for _ in range(config.layers))
        self.pooler = Linear(config.width, config.width) if config.pooler else None
        self.mask_head = MaskHead(config) if config.mask_head else None
        untied = config.mask_head and not config.tie_embeddings
        self.unembedding = Linear(config.width, config.vocab_size, bias=False) if untied else None
        self.pair_head = Linear(config.width, 2) if config.pair_head else None
        self.hooks: HookTable | None = None

    @property
    def unembedding_weight_VD(self) -> Float[Tensor, "V D"]:
        """The matrix that turns what the mask head makes of the stream into logits."""
        return self.embedding.weight if self.unembedding is None else self.unembedding.weight

    @property
    def linear_unembedding(self) -> bool:
        """Whether logits are nothing but a product with `hidden`: never, as the mask head stands between."""
        return False

    def forward(
        self, ids_BT: Int[Tensor, "B T"], *,
        types_BT: Int[Tensor, "#B T"] | None = None,
        positions_BT: Int[Tensor, "#B T"] | None = None,
        segments_BT: Int[Tensor, "#B T"] | None = None,
    ) -> Float[Tensor, "B T V"]:  # fmt: skip
        """Return the logits of what stands at each token (not behind it); arguments as for `hidden`."""
        x_BTD = self.hidden(ids_BT, types_BT=types_BT, positions_BT=positions_BT, segments_BT=segments_BT)
        logits_BTV, hooks = self.unembed(x_BTD), self.hooks
        return logits_BTV if hooks is None else hooks("logits", logits_BTV)

    def hidden(
        self, ids_BT: Int[Tensor, "B T"], *,
        types_BT: Int[Tensor, "#B T"] | None = None,
        positions_BT: Int[Tensor, "#B T"] | None = None,
        segments_BT: Int[Tensor, "#B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:  # fmt: skip
        """Return the stream after the last block.

        `types_BT` is 0 in the first text of a pair and 1 in the second; 0 everywhere when left out.
        `segments_BT` is -1 for padding, else the number of the text (or pair) inside its row; texts of one
        row don't see each other. `positions_BT` counts inside the segment and is worked out when left out.
        Ids outside the vocabulary, texts longer than the context and shapes that don't fit raise ModelError.
        """
        self._check(ids_BT, types_BT)
        batch, tokens = ids_BT.shape
        if positions_BT is None and segments_BT is None:
            positions_BT, visibility = torch.arange(tokens, device=ids_BT.device)[None], Visibility()
        else:
            nothing = plain_layout(batch, 0, ids_BT.device)
            here = complete_layout(positions_BT, segments_BT, nothing, tokens)
            if segments_BT is not None and bool((segments_BT == SHARED).any()):
                raise ModelError(
                    "segment -2, a beginning that texts of a row share: here every token sees what comes "
                    "after it, so no two texts begin alike"
                )
            positions_BT, visibility = here.positions_BT, visible_both_ways(here)
        check_positions(positions_BT, self.config.context)
        x_BTD = self.embedding(ids_BT) + self.position_embedding(positions_BT)
        if self.type_embedding is not None:
            types_BT = torch.zeros_like(ids_BT[:1, :1]) if types_BT is None else types_BT
            x_BTD = x_BTD + self.type_embedding(types_BT)
        x_BTD = self.embedding_norm(x_BTD)
        hooks = self.hooks
        if hooks is not None:
            x_BTD = hooks("embedding", x_BTD)
        for layer, block in enumerate(self.blocks):
            tap = None if hooks is None else hooks.under(f"blocks.{layer}.")
            x_BTD = block(x_BTD, _call(visibility, layer, hooks), tap)
        return x_BTD

    def unembed(self, x_D: Float[Tensor, "*dims D"]) -> Float[Tensor, "*dims V"]:
        """Return the mask head's logits of streams as `hidden` gives them; ModelError without that head."""
        if self.mask_head is None:
            raise ModelError("this encoder has no mask head: it gives vectors of texts, and no logits")
        logits: Tensor = self.mask_head(x_D, self.unembedding_weight_VD)
        return logits

    def pooled(self, first_ND: Float[Tensor, "*dims D"]) -> Float[Tensor, "*dims D"]:
        """Return the vectors of whole texts, from the streams of their first tokens: tanh of a layer, or the
        streams themselves where there is no pooler.
        """
        return first_ND if self.pooler is None else torch.tanh(self.pooler(first_ND))

    def pair_logits(self, first_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N 2"]:
        """Return two logits for each pair, from the streams of their first tokens: the second text follows
        the first, or it does not. ModelError without that head.
        """
        if self.pair_head is None:
            raise ModelError("this encoder has no head for pairs: it can't say whether two texts follow")
        logits: Tensor = self.pair_head(self.pooled(first_ND))
        return logits

    def _check(self, ids_BT: Tensor, types_BT: Tensor | None) -> None:
        check_ids(ids_BT, self.config.vocab_size)
        if types_BT is not None and self.type_embedding is None:
            raise ModelError("types_BT: this encoder has no token types (token_types is 0)")
        if types_BT is None or types_BT.device.type != "cpu" or torch.compiler.is_compiling():
            return
        low, high = (int(extreme) for extreme in types_BT.aminmax())
        if low < 0 or high >= self.config.token_types:
            raise ModelError(
                f"types run from {low} to {high}, but the model knows 0 to {self.config.token_types - 1}"
            )


def bare(encoder: Encoder) -> Encoder:
    """The encoder with a pooler and no other head: itself, or one that shares its weights with it.

    A pooler that was not there begins as the identity, so that what is read is tanh of the first token.
    """
    config = replace(encoder.config, pooler=True, mask_head=False, pair_head=False, tie_embeddings=True)
    if config == encoder.config:
        return encoder
    with torch.device("meta"):
        made = Encoder(config)
    for name, module in encoder.named_children():
        if name in made._modules and made._modules[name] is not None:
            setattr(made, name, module)
    if encoder.pooler is None:
        weight = encoder.embedding.weight
        made.pooler = Linear(config.width, config.width, device=weight.device, dtype=weight.dtype)
        with torch.no_grad():
            nn.init.eye_(made.pooler.weight)
            nn.init.zeros_(made.pooler.bias)
    return made.train(encoder.training)


def _norm(config: EncoderConfig) -> nn.Module:
    return nn.LayerNorm(config.width, eps=config.norm_eps)


def _call(visibility: Visibility, layer: int, hooks: HookTable | None) -> AttentionCall:
    prefix = f"blocks.{layer}.attention."
    return AttentionCall(
        visibility=visibility,
        rotation=None,
        append=None,
        tap=None if hooks is None else hooks.under(prefix),
        eager=hooks is not None and hooks.wants(f"{prefix}pattern"),
    )


@torch.no_grad()
def initialise(model: Encoder, seed: int) -> None:
    """Set every parameter from the seed alone.

    Matrices are normal with deviation 1 / sqrt(inputs), so that narrow models begin as wide ones do (BERT's
    0.02 is that of 2,500 inputs); embeddings have 0.02; norms scale by one, biases are zero.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        elif parameter.dim() == 1:
            parameter.fill_(1.0)
        else:
            deviation = 0.02 if "embedding" in name.split(".")[-2] else parameter.shape[1] ** -0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)
