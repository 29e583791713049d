"""The encoder's config: every field names a mechanism, none a family. Nothing here needs torch."""

from dataclasses import dataclass
from typing import ClassVar

from shizuku.errors import ConfigError
from shizuku.models.decoder_config import ACTIVATION_NAMES, DecoderConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderConfig:
    """Every mechanism of an encoder, by what it does; fields that contradict each other raise ConfigError."""

    ARCHITECTURE: ClassVar[str] = "encoder"

    vocab_size: int
    """Number of token ids."""
    context: int
    """Longest text in tokens, what stands before and behind it counted: positions have a table of so many
    rows."""
    width: int
    """Features of the residual stream."""
    layers: int
    """Number of blocks."""
    heads: int
    """Number of attention heads."""
    ffn_width: int
    """Hidden features of the feed-forward layer."""
    token_types: int = 2
    """Rows of the table that tells the first text of a pair from the second; 0 means there is none."""
    activation: str = "gelu"
    """silu, gelu, gelu_tanh, relu or relu2, in the feed-forward layer and in the mask head."""
    norm_eps: float = 1e-12
    """Added to the variance before the root."""
    pooler: bool = True
    """Whether a layer with tanh turns the first token's vector into one for the whole text."""
    mask_head: bool = True
    """Whether there are logits for hidden tokens: a layer, a norm, the output matrix and a bias."""
    tie_embeddings: bool = True
    """With mask_head: whether the output matrix is the embedding matrix."""
    pair_head: bool = True
    """With pooler: whether there are two logits for a pair: the second follows the first, or doesn't."""

    def __post_init__(self) -> None:
        """Check every field against the others."""
        sizes = ("vocab_size", "context", "width", "layers", "heads", "ffn_width")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.width % self.heads:
            raise ConfigError(f"width {self.width} is no multiple of heads {self.heads}")
        if self.token_types < 0:
            raise ConfigError(f"token_types is {self.token_types}; it must be 0 or more")
        if self.activation not in ACTIVATION_NAMES:
            raise ConfigError(
                f"activation {self.activation!r}: expected one of {', '.join(ACTIVATION_NAMES)}"
            )
        if not self.norm_eps > 0:
            raise ConfigError(f"norm_eps is {self.norm_eps}; it must be above 0")
        if self.pair_head and not self.pooler:
            raise ConfigError("pair_head reads what the pooler gives: set pooler, or leave pair_head out")
        if self.pair_head and self.token_types < 2:
            raise ConfigError(f"pair_head needs token_types of 2 or more, found {self.token_types}")

    @property
    def attention(self) -> DecoderConfig:
        """The same sizes as what the shared attention layer reads."""
        return DecoderConfig(
            vocab_size=self.vocab_size,
            context=self.context,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            ffn_width=self.ffn_width,
            positions="learned",
            attention_bias=True,
            attention_output_bias=True,
        )
