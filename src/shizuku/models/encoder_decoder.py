"""The encoder-decoder of Vaswani et al. 2017, with the mechanisms that its config names.

Legend: `B` batch, `S` source tokens, `T` target tokens of this call, `D` width, `H` heads, `V` vocabulary,
`L` layers.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from shizuku.errors import ConfigError, ModelError
from shizuku.models.decoder_config import ACTIVATION_NAMES
from shizuku.models.hooks import HookTable, recorded
from shizuku.models.layers.embedding import embedding_table
from shizuku.models.layers.feedforward import FeedForward
from shizuku.models.layers.heads_attention import HeadsAttention, KeysValues
from shizuku.models.layers.products import Linear, linear
from shizuku.models.layers.visibility import Visibility
from shizuku.models.state import KeyValueState
from shizuku.models.translating import Sources, check_pair


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderDecoderConfig:
    """Every mechanism of an encoder-decoder, by what it does."""

    ARCHITECTURE: ClassVar[str] = "encoder-decoder"

    vocab_size: int
    """Number of token ids, of both sides."""
    context: int
    """Longest source, and longest target, in tokens."""
    width: int
    """Features of the residual streams."""
    encoder_layers: int
    """Blocks that read the source."""
    decoder_layers: int
    """Blocks that write the target."""
    heads: int
    """Heads of every attention."""
    ffn_width: int
    """Hidden features of the feed-forward layers."""
    norm_placement: Literal["before", "after"] = "before"
    """Norms before the layers, or after them on the stream itself, as in the paper."""
    final_norm: bool = True
    """Whether each stack ends in one more norm."""
    norm_eps: float = 1e-5
    """Added to the variance before the root."""
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    """What is added to the embeddings."""
    embedding_scale: bool = True
    """Whether embeddings are multiplied by sqrt(width)."""
    activation: Literal["silu", "gelu", "gelu_tanh", "relu", "relu2"] = "relu"
    """Activation of the feed-forward layers."""
    biases: bool = True
    """Whether the projections of attention and feed-forward layers add a bias."""
    share_embeddings: bool = True
    """Whether source and target have one embedding matrix."""
    tie_embeddings: bool = True
    """Whether the output matrix is the target's embedding matrix."""
    logit_bias: bool = False
    """Whether a fixed vector is added to the logits."""
    start_id: int | None = None
    """Token that begins every target; None: the one that the tokenizer begins documents with."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        names = ("vocab_size", "context", "width", "encoder_layers", "decoder_layers", "heads", "ffn_width")
        for name in names:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1")
        if self.width % self.heads or self.width % 2:
            raise ConfigError(f"width {self.width} is not a multiple of heads {self.heads} and of 2")
        if self.activation not in ACTIVATION_NAMES:
            raise ConfigError(f"activation {self.activation!r}: known are {', '.join(ACTIVATION_NAMES)}")
        if self.start_id is not None and not 0 <= self.start_id < self.vocab_size:
            raise ConfigError(f"start_id {self.start_id} is outside the vocabulary of {self.vocab_size}")

    @property
    def layers(self) -> int:
        """The blocks of the taller stack."""
        return max(self.encoder_layers, self.decoder_layers)

    def token_operations(self, tokens: int) -> dict[str, int]:
        """Operations of a forward pass for each of `tokens` tokens, one half of them source, one target."""
        side, square = tokens / 2, self.width * self.width
        feedforward = 2 * self.width * self.ffn_width
        weights = self.encoder_layers * (4 * square + feedforward) + self.decoder_layers * (
            8 * square + feedforward
        )
        seen = (self.encoder_layers + 2 * self.decoder_layers) * side
        return {
            "blocks": weights,
            "attention": round(2 * self.width * seen),
            "unembedding": self.vocab_size * self.width,
        }


class Block(nn.Module):
    """Attention over its own sequence, over the source where it writes the target, and a feed-forward layer,
    each added to the stream with a norm before it or after the sum.
    """

    def __init__(self, config: EncoderDecoderConfig, *, writes: bool) -> None:
        super().__init__()
        self.attention_norm = _norm(config)
        self.attention = HeadsAttention(config.width, config.heads, bias=config.biases)
        self.cross_attention_norm = _norm(config) if writes else None
        self.cross_attention: HeadsAttention | None = None
        if writes:
            self.cross_attention = HeadsAttention(config.width, config.heads, bias=config.biases)
        self.feedforward_norm = _norm(config)
        self.feedforward = FeedForward(
            config.width, config.ffn_width, activation=config.activation, gated=False, bias=config.biases
        )
        self.before = config.norm_placement == "before"
        # Norms' inputs and outputs, queries, keys, values, what attention gives, the feed-forward layer; a
        # block sees one half of a pair.
        self.kept_numbers = ((16 if writes else 9) * config.width + 2 * config.ffn_width) // 2

    def forward(self, x_BTD: Float[Tensor, "B T D"], call: "_Call") -> Float[Tensor, "B T D"]:
        """Return the residual stream after this block."""
        normed_BTD = self.attention_norm(x_BTD) if self.before else x_BTD
        own = None
        if call.state is not None:
            own = call.state.own.append(call.layer, *self.attention.keys_values(normed_BTD))
        x_BTD = x_BTD + self.attention(normed_BTD, own, call.own, call.tap("attention."))
        if not self.before:
            x_BTD = self.attention_norm(x_BTD)
        if self.cross_attention is not None and self.cross_attention_norm is not None:
            normed_BTD = self.cross_attention_norm(x_BTD) if self.before else x_BTD
            tap = call.tap("cross_attention.")
            x_BTD = x_BTD + self.cross_attention(normed_BTD, call.memory, call.source, tap)
            if not self.before:
                x_BTD = self.cross_attention_norm(x_BTD)
        if self.before:
            return x_BTD + self.feedforward(self.feedforward_norm(x_BTD))
        return self.feedforward_norm(x_BTD + self.feedforward(x_BTD))


@dataclass(frozen=True, slots=True)
class _Call:
    """What one block needs besides its input."""

    own: Visibility
    """Which places of its own sequence are seen."""
    layer: int = 0
    memory: KeysValues | None = None
    """The source, as this block's cross attention looks at it."""
    source: Visibility | None = None
    """Which places of the source are seen."""
    state: "EncoderDecoderState | None" = None
    hooks: HookTable | None = None
    """Below the block's name."""

    def tap(self, prefix: str) -> HookTable | None:
        """The hooks of one part of the block."""
        return None if self.hooks is None else self.hooks.under(prefix)


class EncoderDecoderState:
    """The sources as each layer looks at them, and the keys and values of the targets so far."""

    def __init__(self, memory: list[KeysValues], source: Visibility, own: KeyValueState) -> None:
        """Begin with no tokens of the targets."""
        self.memory, self.source, self.own = memory, source, own

    @property
    def batch(self) -> int:
        """Number of rows."""
        return self.own.batch

    @property
    def length(self) -> int:
        """Tokens of the target that were read."""
        return self.own.length

    def select_rows(self, rows_R: Int[Tensor, " R"]) -> None:
        """Keep, repeat or reorder rows: row r of the new batch is row rows_R[r] of the old."""
        self.own.select_rows(rows_R)
        self.memory = [(k.index_select(0, rows_R), v.index_select(0, rows_R)) for k, v in self.memory]
        if self.source.mask_BHTS is not None:
            self.source = Visibility(self.source.mask_BHTS.index_select(0, rows_R))


class EncoderDecoder(nn.Module):
    """A stack of blocks that reads a source, and one that writes a target and looks at what was read."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        """Make the model with weights that are only fit to be replaced; see `initialise`."""
        super().__init__()
        self.config = config
        self.embedding = embedding_table(config.vocab_size, config.width)
        shared = config.share_embeddings
        self.target_embedding = None if shared else embedding_table(config.vocab_size, config.width)
        learned = config.positions == "learned"
        self.source_positions = embedding_table(config.context, config.width) if learned else None
        self.target_positions = embedding_table(config.context, config.width) if learned else None
        # Where dropout stands while a run trains; nothing else happens there.
        self.embedded = nn.Identity()
        self.encoder = nn.ModuleList(Block(config, writes=False) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(Block(config, writes=True) for _ in range(config.decoder_layers))
        self.encoder_norm = _norm(config) if config.final_norm else None
        self.decoder_norm = _norm(config) if config.final_norm else None
        self.unembedding = (
            None if config.tie_embeddings else Linear(config.width, config.vocab_size, bias=False)
        )
        self.logit_bias_1V: Tensor | None
        self.register_buffer(
            "logit_bias_1V", torch.zeros(1, config.vocab_size) if config.logit_bias else None
        )
        self.hooks: HookTable | None = None

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks of both stacks."""
        return [*self.encoder, *self.decoder]

    @property
    def hook_points(self) -> tuple[str, ...]:
        """`encoder.N.attention`, `decoder.N.attention` and `decoder.N.cross_attention`, each with
        `.pattern` [B, H, T, S] and `.heads` [B, H, T, K].
        """
        parts = [f"encoder.{layer}.attention" for layer, _ in enumerate(self.encoder)]
        for layer, _ in enumerate(self.decoder):
            parts += [f"decoder.{layer}.attention", f"decoder.{layer}.cross_attention"]
        return tuple(f"{part}.{point}" for part in parts for point in ("pattern", "heads"))

    @property
    def dropped(self) -> tuple[nn.Module, ...]:
        """What dropout acts on the output of."""
        names = ("attention", "cross_attention", "feedforward")
        parts = (getattr(block, name) for block in self.blocks for name in names)
        return (self.embedded, *(part for part in parts if part is not None))

    @property
    def unembedding_weight_VD(self) -> Float[Tensor, "V D"]:
        """The matrix that turns the final residual stream into logits."""
        if self.unembedding is not None:
            return self.unembedding.weight
        return (self.target_embedding or self.embedding).weight

    @property
    def linear_unembedding(self) -> bool:
        """Whether logits are nothing but the products of `hidden` with `unembedding_weight_VD`."""
        return not self.config.logit_bias

    def unembed(self, x_D: Float[Tensor, "*dims D"]) -> Float[Tensor, "*dims V"]:
        """Return the logits of final residual streams, as `hidden` gives them."""
        logits_V = linear(x_D, self.unembedding_weight_VD)
        return logits_V if self.logit_bias_1V is None else logits_V + self.logit_bias_1V[0]

    def forward(self, ids_BT: Int[Tensor, "B T"], *, sources: Sources) -> Float[Tensor, "B T V"]:
        """Return the logits of what comes after each token of the targets; errors as of `check_pair`."""
        return self.unembed(self.hidden(ids_BT, sources=sources))

    def hidden(self, ids_BT: Int[Tensor, "B T"], *, sources: Sources) -> Float[Tensor, "B T D"]:
        """Return the target's residual stream after all blocks; errors as of `check_pair`."""
        return self._teach(ids_BT, sources)

    def pattern(self, ids_BT: Int[Tensor, "B T"], *, sources: Sources) -> Float[Tensor, "B L T S"]:
        """Return where each target token looks in the source, by layer, as a mean over heads."""
        with recorded(self, "decoder.*.cross_attention.pattern") as kept:
            self._teach(ids_BT, sources)
        return torch.stack([each_BHTS.mean(1) for each_BHTS in kept.values()], 1)

    def encode(self, sources: Sources) -> Float[Tensor, "B S D"]:
        """Return the source's residual stream after all blocks."""
        x_BSD = self._embed(sources.ids_BS, self.embedding, self.source_positions, 0)
        seen, hooks = self._seen(sources), self.hooks
        for layer, block in enumerate(self.encoder):
            tap = None if hooks is None else hooks.under(f"encoder.{layer}.")
            x_BSD = block(x_BSD, _Call(seen, hooks=tap))
        return x_BSD if self.encoder_norm is None else self.encoder_norm(x_BSD)

    def start(self, sources: Sources) -> EncoderDecoderState:
        """Read the sources; errors as of `check_pair`."""
        config, weight = self.config, self.embedding.weight
        check_pair(sources.ids_BS[:, :1], sources, context=config.context, vocab_size=config.vocab_size)
        memory_BSD = self.encode(sources)
        memory = [block.cross_attention.keys_values(memory_BSD) for block in self.decoder]  # type: ignore[union-attr, operator]
        own = KeyValueState(
            layers=config.decoder_layers, batch=len(memory_BSD), kv_heads=config.heads,
            head_width=config.width // config.heads, capacity=32, dtype=weight.dtype, device=weight.device,
        )  # fmt: skip
        return EncoderDecoderState(memory, self._seen(sources), own)

    def step(self, ids_B: Int[Tensor, " B"], state: EncoderDecoderState) -> Float[Tensor, "B V"]:
        """Return the logits behind one more token of each target; ModelError beyond the window."""
        if state.length >= self.config.context:
            raise ModelError(f"the target has reached the model's window of {self.config.context} tokens")
        table, hooks = self.target_embedding or self.embedding, self.hooks
        x_B1D = self._embed(ids_B[:, None], table, self.target_positions, state.length)
        for layer, block in enumerate(self.decoder):
            tap = None if hooks is None else hooks.under(f"decoder.{layer}.")
            call = _Call(Visibility(), layer, state.memory[layer], state.source, state, tap)
            x_B1D = block(x_B1D, call)
        state.own.commit(1, None)
        return self.unembed(x_B1D if self.decoder_norm is None else self.decoder_norm(x_B1D))[:, 0]

    def _teach(self, ids_BT: Int[Tensor, "B T"], sources: Sources) -> Float[Tensor, "B T D"]:
        check_pair(ids_BT, sources, context=self.config.context, vocab_size=self.config.vocab_size)
        memory_BSD, seen = self.encode(sources), self._seen(sources)
        x_BTD = self._embed(ids_BT, self.target_embedding or self.embedding, self.target_positions, 0)
        hooks = self.hooks
        for layer, block in enumerate(self.decoder):
            tap = None if hooks is None else hooks.under(f"decoder.{layer}.")
            memory = block.cross_attention.keys_values(memory_BSD)  # type: ignore[union-attr, operator]
            # Padding stands at the end of a target, where no real token looks.
            x_BTD = block(x_BTD, _Call(Visibility(causal=True), layer, memory, seen, hooks=tap))
        return x_BTD if self.decoder_norm is None else self.decoder_norm(x_BTD)

    def _embed(
        self, ids_BT: Int[Tensor, "B T"], table: nn.Embedding, positions: nn.Embedding | None, start: int
    ) -> Float[Tensor, "B T D"]:
        x_BTD = table(ids_BT)
        if self.config.embedding_scale:
            x_BTD = x_BTD * math.sqrt(self.config.width)
        place_T = torch.arange(start, start + ids_BT.shape[1], device=ids_BT.device)
        waves_TD = sinusoids(place_T, self.config.width) if positions is None else positions(place_T)
        return self.embedded(x_BTD + waves_TD.to(x_BTD.dtype))

    @staticmethod
    def _seen(sources: Sources) -> Visibility:
        return Visibility(sources.real_BS[:, None, None] if sources.ragged else None)


def sinusoids(place_T: Int[Tensor, " T"], width: int) -> Float[Tensor, "T D"]:
    """Return sines and behind them cosines of each place, at wavelengths from 2 pi to 10,000 · 2 pi."""
    rates = torch.arange(0, width, 2, dtype=torch.float64, device=place_T.device) / width
    angles_TW = place_T[:, None].double() * 10_000.0**-rates
    return torch.cat([angles_TW.sin(), angles_TW.cos()], -1).float()


def _norm(config: EncoderDecoderConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.width, eps=config.norm_eps)


@torch.no_grad()
def initialise(model: EncoderDecoder, seed: int) -> None:
    """Set every parameter from the seed alone.

    Matrices are normal with deviation 1 / sqrt(inputs); where norms stand before the layers, those that write
    into the residual stream are divided by the root of how many do. Embeddings have deviation
    1 / sqrt(width), so that scaled ones, and the logits of a tied matrix, have deviation one.
    """
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        module = name.split(".")[-2]
        if name.endswith(".bias"):
            parameter.zero_()
        elif parameter.dim() == 1:
            parameter.fill_(1.0)
        else:
            deviation = parameter.shape[1] ** -0.5
            if module in ("output", "down") and config.norm_placement == "before":
                writers = (
                    3 * config.decoder_layers if name.startswith("decoder") else 2 * config.encoder_layers
                )
                deviation /= math.sqrt(writers)
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)
