"""A head on a decoder: it reads the final stream of a token and gives numbers (a reward, a value, classes).

Legend: `B` rows, `T` tokens, `D` width, `O` outputs.
"""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.models.layers.products import Linear

REWARD = "reward"
"""The label of a head with one output."""


def default_labels(outputs: int) -> tuple[str, ...]:
    """Labels of a head that was given none."""
    return (REWARD,) if outputs == 1 else tuple(map(str, range(outputs)))


class HeadedDecoder(nn.Module):
    """A decoder with a linear head in the place of its output matrix.

    A reward model has one output, a value model too, a classifier one for each label. What is read is the
    stream behind the final norm; which token of a row speaks for the row is the caller's business.
    """

    def __init__(self, decoder: Decoder, outputs: int, *, labels: tuple[str, ...] = ()) -> None:
        """Put a head that gives zeros on `decoder`, which is used as it is, not copied."""
        super().__init__()
        assert not labels or len(labels) == outputs, "a label for each output, or none"
        self.decoder, self.labels = decoder, labels or default_labels(outputs)
        self.head = Linear(decoder.config.width, outputs, bias=False)
        nn.init.zeros_(self.head.weight)

    @property
    def outputs(self) -> int:
        """How many numbers the head gives."""
        return self.head.out_features

    @property
    def config(self) -> DecoderConfig:
        """The decoder's."""
        return self.decoder.config

    @property
    def blocks(self) -> Any:
        """The decoder's."""
        return self.decoder.blocks

    @property
    def unembedding_weight_VD(self) -> Tensor:
        """The decoder's."""
        return self.decoder.unembedding_weight_VD

    def forward(
        self, ids_BT: Int[Tensor, "B T"], *,
        segments_BT: Int[Tensor, "#B T"] | None = None,
        positions_BT: Int[Tensor, "#B T"] | None = None,
    ) -> Float[Tensor, "B T O"]:  # fmt: skip
        """The head's outputs behind every token; padding is said by segments, as for the decoder."""
        x_BTD = self.decoder.hidden(ids_BT, segments_BT=segments_BT, positions_BT=positions_BT)
        outputs: Tensor = self.head(x_BTD)
        return outputs
