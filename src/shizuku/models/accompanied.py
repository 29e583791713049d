"""A decoder that is trained together with something beside it, such as a value model."""

from typing import Any

from torch import Tensor, nn

from shizuku.models.decoder import Decoder, DecoderConfig


class Accompanied(nn.Module):
    """A decoder, and modules that are trained with it but are no part of its checkpoint.

    A loop that trains it sees all parameters; a checkpoint of it is one of the decoder, and what is beside
    it goes where the loop keeps what it needs to go on.
    """

    def __init__(self, decoder: Decoder) -> None:
        """Put nothing beside `decoder` yet, which is used as it is, not copied."""
        super().__init__()
        self.decoder = decoder

    @property
    def config(self) -> DecoderConfig:
        """The decoder's."""
        return self.decoder.config

    @property
    def blocks(self) -> Any:
        """The decoder's."""
        return self.decoder.blocks

    @property
    def embedding(self) -> nn.Embedding:
        """The decoder's."""
        return self.decoder.embedding

    @property
    def unembedding_weight_VD(self) -> Tensor:
        """The decoder's."""
        return self.decoder.unembedding_weight_VD

    def beside(self) -> dict[str, Tensor]:
        """What the decoder's checkpoint does not hold, by its name in `state_dict`."""
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(_OWN)}

    @staticmethod
    def of_decoder(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Those of the weights of such a model that are the decoder's, under the names they have there."""
        return {name[len(_OWN) :]: tensor for name, tensor in weights.items() if name.startswith(_OWN)}


_OWN = "decoder."
