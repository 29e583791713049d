"""A head on a model: it reads the final stream of a token and gives numbers (a reward, a value, classes).

Legend: `B` rows, `T` tokens, `D` width, `O` outputs.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from shizuku.models.decoder import Decoder
from shizuku.models.encoder import Encoder, bare
from shizuku.models.layers.products import Linear
from shizuku.models.layers.visibility import complete_layout, plain_layout

REWARD = "reward"
"""The label of a head with one output."""


def default_labels(outputs: int) -> tuple[str, ...]:
    """Labels of a head that was given none."""
    return (REWARD,) if outputs == 1 else tuple(map(str, range(outputs)))


class HeadedDecoder(nn.Module):
    """A model with a linear head in the place of its output matrix, or of an encoder's own heads.

    A reward model has one output, a value model too, a classifier one for each label. What is read is the
    stream behind the final norm; which token of a row speaks for the row is the caller's business. Of an
    encoder it is the pooled first token of each text, whichever of its tokens is asked.
    """

    def __init__(self, decoder: Decoder | Encoder, outputs: int, *, labels: tuple[str, ...] = ()) -> None:
        """Put a head that gives zeros on `decoder`, which is used as it is, not copied; an encoder's own
        heads are left out.
        """
        super().__init__()
        assert not labels or len(labels) == outputs, "a label for each output, or none"
        self.whole = isinstance(decoder, Encoder)
        self.decoder: Any = bare(decoder) if isinstance(decoder, Encoder) else decoder
        self.labels = labels or default_labels(outputs)
        self.head = Linear(decoder.config.width, outputs, bias=self.whole)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    @property
    def outputs(self) -> int:
        """How many numbers the head gives."""
        return self.head.out_features

    @property
    def token_types(self) -> int:
        """How many kinds of texts the model tells apart; 0 where it does not."""
        return int(getattr(self.config, "token_types", 0))

    @property
    def config(self) -> Any:
        """The decoder's, or the encoder's."""
        return self.decoder.config

    @property
    def blocks(self) -> Any:
        """The decoder's."""
        return self.decoder.blocks

    @property
    def unembedding_weight_VD(self) -> Tensor:
        """The decoder's."""
        weight_VD: Tensor = self.decoder.unembedding_weight_VD
        return weight_VD

    def forward(
        self, ids_BT: Int[Tensor, "B T"], *,
        segments_BT: Int[Tensor, "#B T"] | None = None,
        positions_BT: Int[Tensor, "#B T"] | None = None,
        types_BT: Int[Tensor, "#B T"] | None = None,
    ) -> Float[Tensor, "B T O"]:  # fmt: skip
        """The head's outputs behind every token; padding is said by segments, as for the decoder.

        `types_BT`, which tells the texts of a pair, is left out where the model has no two token types.
        """
        typed = {} if types_BT is None or self.token_types < 2 else {"types_BT": types_BT}
        x_BTD = self.decoder.hidden(ids_BT, segments_BT=segments_BT, positions_BT=positions_BT, **typed)
        if self.whole:
            x_BTD = self.decoder.pooled(_first_of_text(x_BTD, segments_BT, positions_BT))
        outputs: Tensor = self.head(x_BTD)
        return outputs


def _first_of_text(
    x_BTD: Float[Tensor, "B T D"],
    segments_BT: Int[Tensor, "#B T"] | None,
    positions_BT: Int[Tensor, "#B T"] | None,
) -> Float[Tensor, "B T D"]:
    """In the place of each token the first one of its text."""
    (batch, tokens), device = x_BTD.shape[:2], x_BTD.device
    layout = complete_layout(positions_BT, segments_BT, plain_layout(batch, 0, device), tokens)
    first_BT = torch.arange(tokens, device=device) - layout.positions_BT
    return x_BTD.gather(1, first_BT[..., None].expand_as(x_BTD))
