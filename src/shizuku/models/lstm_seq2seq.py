"""Sequence to sequence with LSTMs (Sutskever et al. 2014), with or without attention (Bahdanau et al. 2015).

Legend: `B` batch, `S` source tokens, `T` target tokens, `E` embedding width, `H` width, `A` attention width,
`V` vocabulary, `G` = 4 H gate numbers.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shizuku.errors import ConfigError, ModelError
from shizuku.models.layers.embedding import embedding_table
from shizuku.models.layers.lstm_cell import Held, LSTMLayer, open_forget_gates
from shizuku.models.layers.products import Linear, linear
from shizuku.models.translating import Sources, check_pair


@dataclass(frozen=True, kw_only=True, slots=True)
class LSTMSeq2SeqConfig:
    """Every mechanism of two LSTMs, one that reads and one that writes."""

    ARCHITECTURE: ClassVar[str] = "lstm-seq2seq"

    vocab_size: int
    """Number of token ids, of both sides."""
    context: int
    """Longest source, and longest target, in tokens."""
    width: int
    """Features of a layer's output, of both directions together where there are two."""
    embedding_width: int
    """Features of an embedding, and of what the logits are made of."""
    layers: int
    """Layers of the reader, and of the writer."""
    attention: Literal["additive", "none"] = "additive"
    """How the writer looks at the source: a sum of tanh for each place, or only by the state that it begins
    with, which is the reader's last.
    """
    attention_width: int = 256
    """Features that source and query are compared in."""
    bidirectional: bool = True
    """Whether half of the reader's features come from reading backwards."""
    reversed_source: bool = False
    """Whether the source is read from its end."""
    share_embeddings: bool = True
    """Whether source and target have one embedding matrix."""
    tie_embeddings: bool = True
    """Whether the output matrix is the target's embedding matrix."""
    start_id: int | None = None
    """Token that begins every target; None: the one that the tokenizer begins documents with."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        for name in ("vocab_size", "context", "width", "embedding_width", "layers", "attention_width"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1")
        if self.bidirectional and self.width % 2:
            raise ConfigError(f"width {self.width} is odd, but two directions share it")
        if self.start_id is not None and not 0 <= self.start_id < self.vocab_size:
            raise ConfigError(f"start_id {self.start_id} is outside the vocabulary of {self.vocab_size}")

    def token_operations(self, tokens: int) -> dict[str, int]:
        """Operations of a forward pass for each of `tokens` tokens, one half of them source, one target."""
        width, narrow, side = self.width, self.embedding_width, tokens / 2
        each = width // 2 if self.bidirectional else width
        above = (self.layers - 1) * width + narrow
        reader = (width // each) * 4 * each * (above + self.layers * each)
        writer = 4 * width * (above + self.layers * width)
        readout, attention = width * narrow, 0
        if self.attention != "none":
            readout *= 2
            writer += 4 * width * width + self.attention_width * (2 * width + narrow)
            attention = round(side * (self.attention_width + width))
        return {
            "blocks": reader + writer + readout,
            "attention": attention,
            "unembedding": self.vocab_size * narrow,
        }


class Reader(nn.Module):
    """One layer that reads the source, in one direction or in both."""

    def __init__(self, inputs: int, config: LSTMSeq2SeqConfig) -> None:
        super().__init__()
        each = config.width // 2 if config.bidirectional else config.width
        self.onward = LSTMLayer(inputs, each)
        self.kept_numbers = 6 * config.width  # gates twice, cells, outputs; the reader sees half of a pair
        self.backward_ = LSTMLayer(inputs, each) if config.bidirectional else None

    def forward(
        self, x_BSI: Float[Tensor, "B S I"], sources: Sources, real_BS: Bool[Tensor, "B S"] | None
    ) -> tuple[Float[Tensor, "B S H"], Held]:
        """Return the outputs at all places, and what is held in the end."""
        y_BSH, held = self.onward(x_BSI, self.onward.empty(x_BSI), real_BS)
        if self.backward_ is None:
            return y_BSH, held
        back_BSH, back = self.backward_(turned(x_BSI, sources), self.backward_.empty(x_BSI), real_BS)
        both = torch.cat([held[0], back[0]], 1), torch.cat([held[1], back[1]], 1)
        return torch.cat([y_BSH, turned(back_BSH, sources)], -1), both


def turned(x_BS: Tensor, sources: Sources) -> Tensor:
    """Return each row's real places in the opposite order, the padding where it was."""
    place_S = torch.arange(x_BS.shape[1], device=x_BS.device)
    from_BS = sources.lengths_B[:, None] - 1 - place_S
    from_BS = torch.where(from_BS < 0, place_S, from_BS)
    if x_BS.dim() == 2:
        return x_BS.gather(1, from_BS)
    return x_BS.gather(1, from_BS[..., None].expand_as(x_BS))


class AdditiveAttention(nn.Module):
    """score = v · tanh(Q state + E token + K source).

    That the token written last asks too is not in the paper's formula, but in its authors' later code.
    """

    def __init__(self, width: int, token_width: int, attention_width: int) -> None:
        super().__init__()
        self.query = Linear(width, attention_width)
        self.token = Linear(token_width, attention_width, bias=False)
        self.key = Linear(width, attention_width, bias=False)
        self.score = Linear(attention_width, 1, bias=False)
        self.kept_numbers = 16 * attention_width  # every target token with each of some 32 of the source

    def forward(
        self,
        query_BH: Float[Tensor, "B H"],
        token_BA: Float[Tensor, "B A"],
        keys_BSA: Float[Tensor, "B S A"],
        memory_BSH: Float[Tensor, "B S H"],
        real_BS: Bool[Tensor, "B S"] | None,
    ) -> tuple[Float[Tensor, "B H"], Float[Tensor, "B S"]]:
        """Return the source as the query sees it, and how much of it comes from where."""
        scores_BS = self.score(torch.tanh(keys_BSA + (self.query(query_BH) + token_BA)[:, None]))[..., 0]
        if real_BS is not None:
            scores_BS = scores_BS.masked_fill(~real_BS, -torch.inf)
        pattern_BS = scores_BS.softmax(-1)
        return torch.bmm(pattern_BS[:, None], memory_BSH)[:, 0], pattern_BS


class LSTMSeq2SeqState:
    """What the writer's layers hold, and the sources as the attention looks at them."""

    def __init__(
        self, held: list[Held], memory_BSH: Tensor | None, keys_BSA: Tensor | None, real_BS: Tensor | None
    ) -> None:
        """Begin with no tokens of the targets."""
        self.held, self.length = held, 0
        self.memory_BSH, self.keys_BSA, self.real_BS = memory_BSH, keys_BSA, real_BS

    @property
    def batch(self) -> int:
        """Number of rows."""
        return len(self.held[0][0])

    def select_rows(self, rows_R: Int[Tensor, " R"]) -> None:
        """Keep, repeat or reorder rows: row r of the new batch is row rows_R[r] of the old."""
        self.held = [(h_BH.index_select(0, rows_R), c_BH.index_select(0, rows_R)) for h_BH, c_BH in self.held]
        for name in ("memory_BSH", "keys_BSA", "real_BS"):
            kept = getattr(self, name)
            setattr(self, name, None if kept is None else kept.index_select(0, rows_R))


class LSTMSeq2Seq(nn.Module):
    """A reader whose last state a writer begins with, and which the writer may look back at."""

    def __init__(self, config: LSTMSeq2SeqConfig) -> None:
        """Make the model with weights that are only fit to be replaced; see `initialise`."""
        super().__init__()
        self.config = config
        width, narrow = config.width, config.embedding_width
        self.embedding = embedding_table(config.vocab_size, narrow)
        shared = config.share_embeddings
        self.target_embedding = None if shared else embedding_table(config.vocab_size, narrow)
        # Where dropout stands while a run trains; nothing else happens there.
        self.embedded, self.between = nn.Identity(), nn.Identity()
        self.reader = nn.ModuleList(
            Reader(width if layer else narrow, config) for layer in range(config.layers)
        )
        self.writer = nn.ModuleList(
            LSTMLayer(width if layer else narrow, width) for layer in range(config.layers)
        )
        looks = config.attention != "none"
        self.attention = AdditiveAttention(width, narrow, config.attention_width) if looks else None
        self.seen_gates = Linear(width, 4 * width, bias=False) if looks else None
        self.readout = Linear(2 * width if looks else width, narrow)
        self.unembedding = None if config.tie_embeddings else Linear(narrow, config.vocab_size, bias=False)

    @property
    def blocks(self) -> list[nn.Module]:
        """The layers of both parts, and the attention between them."""
        return [*self.reader, *self.writer, *([] if self.attention is None else [self.attention])]

    @property
    def dropped(self) -> tuple[nn.Module, ...]:
        """What dropout acts on the output of: never what goes from step to step."""
        return self.embedded, self.between

    @property
    def unembedding_weight_VD(self) -> Float[Tensor, "V E"]:
        """The matrix that turns what `hidden` gives into logits."""
        if self.unembedding is not None:
            return self.unembedding.weight
        return (self.target_embedding or self.embedding).weight

    linear_unembedding = True

    def unembed(self, x_E: Float[Tensor, "*dims E"]) -> Float[Tensor, "*dims V"]:
        """Return the logits of what `hidden` gives."""
        return linear(x_E, self.unembedding_weight_VD)

    def forward(self, ids_BT: Int[Tensor, "B T"], *, sources: Sources) -> Float[Tensor, "B T V"]:
        """Return the logits of what comes after each token of the targets; errors as of `check_pair`."""
        return self.unembed(self.hidden(ids_BT, sources=sources))

    def hidden(self, ids_BT: Int[Tensor, "B T"], *, sources: Sources) -> Float[Tensor, "B T E"]:
        """Return what the logits are made of; errors as of `check_pair`."""
        return self._teach(ids_BT, sources)[0]

    def pattern(self, ids_BT: Int[Tensor, "B T"], *, sources: Sources) -> Float[Tensor, "B 1 T S"]:
        """Return where each target token looks in the source; ModelError for a model without attention."""
        if self.attention is None:
            raise ModelError(
                "this model has no attention: it knows the source by the state that it begins with alone"
            )
        pattern_BTS = torch.stack(self._teach(ids_BT, sources)[1], 1)
        if self.config.reversed_source:
            pattern_BTS = turned(pattern_BTS.transpose(1, 2), sources).transpose(1, 2)
        return pattern_BTS[:, None]

    def start(self, sources: Sources) -> LSTMSeq2SeqState:
        """Read the sources; errors as of `check_pair`."""
        config = self.config
        check_pair(sources.ids_BS[:, :1], sources, context=config.context, vocab_size=config.vocab_size)
        real_BS = sources.real_BS if sources.ragged else None
        ids_BS = turned(sources.ids_BS, sources) if config.reversed_source else sources.ids_BS
        x_BSD, held = self.embedded(self.embedding(ids_BS)), []
        for layer in self.reader:
            x_BSD, last = layer(x_BSD, sources, real_BS)
            x_BSD = self.between(x_BSD)
            held.append(last)
        if self.attention is None:
            return LSTMSeq2SeqState(held, None, None, None)
        return LSTMSeq2SeqState(held, x_BSD, self.attention.key(x_BSD), real_BS)

    def step(self, ids_B: Int[Tensor, " B"], state: LSTMSeq2SeqState) -> Float[Tensor, "B V"]:
        """Return the logits behind one more token of each target; ModelError beyond the window."""
        if state.length >= self.config.context:
            raise ModelError(f"the target has reached the model's window of {self.config.context} tokens")
        said_B, _ = self._write(*self._given(ids_B), state)
        return self.unembed(self._read_out(said_B))

    def _teach(
        self, ids_BT: Int[Tensor, "B T"], sources: Sources
    ) -> tuple[Float[Tensor, "B T E"], list[Tensor]]:
        check_pair(ids_BT, sources, context=self.config.context, vocab_size=self.config.vocab_size)
        state = self.start(sources)
        given_BTG, token_BTA = self._given(ids_BT)
        asked = [None] * ids_BT.shape[1] if token_BTA is None else token_BTA.unbind(1)
        steps = [self._write(*each, state) for each in zip(given_BTG.unbind(1), asked, strict=True)]
        said_BT = torch.stack([said for said, _ in steps], 1)
        return self._read_out(said_BT), [pattern for _, pattern in steps if pattern is not None]

    def _given(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the targets' tokens add to the gates of the first layer, and to the attention's question."""
        x = self.embedded((self.target_embedding or self.embedding)(ids))
        asked = None if self.attention is None else self.attention.token(x)
        return self.writer[0].input_gates(x), asked  # type: ignore[operator]

    def _write(
        self, given_BG: Tensor, token_BA: Tensor | None, state: LSTMSeq2SeqState
    ) -> tuple[Tensor, Tensor | None]:
        """Go on by one step; returns the top layer's output, with what it sees of the source, and where."""
        seen_BH = pattern_BS = None
        if self.attention is not None and self.seen_gates is not None:
            seen_BH, pattern_BS = self.attention(
                state.held[-1][0], token_BA, state.keys_BSA, state.memory_BSH, state.real_BS
            )
            given_BG = given_BG + self.seen_gates(seen_BH)
        held: list[Held] = []
        for number, layer in enumerate(self.writer):
            if number:
                given_BG = layer.input_gates(self.between(held[-1][0]))  # type: ignore[operator]
            held.append(layer.step(given_BG, state.held[number]))  # type: ignore[operator]
        state.held, state.length = held, state.length + 1
        top_BH = held[-1][0]
        return top_BH if seen_BH is None else torch.cat([top_BH, seen_BH], 1), pattern_BS

    def _read_out(self, said: Tensor) -> Tensor:
        return self.between(torch.tanh(self.readout(self.between(said))))


@torch.no_grad()
def initialise(model: LSTMSeq2Seq, seed: int) -> None:
    """Set every parameter from the seed alone.

    Matrices are normal with deviation 1 / sqrt(inputs), the embeddings' rows too, biases zero and those of
    forget gates one.
    """
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.zero_()
        else:
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(drawn * parameter.shape[1] ** -0.5)
    for module in model.modules():
        if isinstance(module, LSTMLayer):
            open_forget_gates(module)
