"""A language model of long short-term memories (Hochreiter and Schmidhuber 1997; Zaremba et al. 2014).

Four gates of each layer read the layer's input and its last output: input, forget, candidate and output gate,
in torch's order. torch's fused kernel computes them; weights, state and initialisation are ours.

Legend: `B` batch, `T` tokens, `N` tokens of all documents, `D` width of a layer's input and output.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shizuku.config import at_least
from shizuku.models.recurrence import RecurrentCall, RecurrentLanguageModel, Shapes

FORGET_BIAS = 1.0
"""Where forget gates begin: open, so that gradients reach far back (Jozefowicz et al. 2015)."""
EMBEDDING_DEVIATION = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class LSTMConfig:
    """The shape of a stacked LSTM language model."""

    ARCHITECTURE: ClassVar[str] = "lstm"

    vocab_size: int
    """Tokens in the vocabulary."""
    context: int = 256
    """Tokens of a training row; a text itself may be of any length."""
    width: int = 256
    """Features of embeddings, and of each layer's output and cell."""
    layers: int = 2
    """Number of layers."""
    tie_embeddings: bool = True
    """Whether the output matrix is the embedding matrix."""

    def __post_init__(self) -> None:
        at_least(self, "model.", vocab_size=1, context=1, width=1, layers=1)


class FusedLSTM(nn.Module):
    """One layer by torch's kernel, over whole rows, over the documents of packed rows, or on from a state."""

    def __init__(self, width: int) -> None:
        """Make the layer with weights that are only fit to be replaced."""
        super().__init__()
        self.input_gates = nn.Parameter(torch.zeros(4 * width, width))
        self.recurrent_gates = nn.Parameter(torch.zeros(4 * width, width))
        self.bias = nn.Parameter(torch.zeros(4 * width))

    @property
    def state_shapes(self) -> Shapes:
        """The last output and the cell."""
        width = self.input_gates.shape[1]
        return {"output": (width,), "cell": (width,)}

    @property
    def kept_numbers(self) -> int:
        """Numbers that a token leaves for the backward pass: gates, cells, outputs and inputs."""
        return 18 * self.input_gates.shape[1]

    def forward(self, x_BTD: Float[Tensor, "B T D"], call: RecurrentCall) -> Float[Tensor, "B T D"]:
        """Return the outputs after each token."""
        if call.documents is not None:
            return self._documents(x_BTD, call)
        output_BD, cell_BD = (call.held(name) for name in ("output", "cell"))
        if output_BD is None or cell_BD is None:
            output_BD = cell_BD = x_BTD.new_zeros(len(x_BTD), x_BTD.shape[2])
        before = (output_BD[None], cell_BD[None])
        y_BTD, output_1BD, cell_1BD = torch.lstm(
            x_BTD, before, self._weights(), True, 1, 0.0, self.training, False, True
        )  # fmt: skip
        call.keep("output", output_1BD[0])
        call.keep("cell", cell_1BD[0])
        return y_BTD

    def _documents(self, x_BTD: Float[Tensor, "B T D"], call: RecurrentCall) -> Float[Tensor, "B T D"]:
        assert call.documents is not None, "asked for where there are documents"
        places_N, counts_S = call.documents.side_by_side
        x_ND = x_BTD.flatten(0, 1)[places_N]
        nothing = x_ND.new_zeros(1, int(counts_S[0]), x_ND.shape[1])
        y_ND, _, _ = torch.lstm(
            x_ND, counts_S.cpu(), (nothing, nothing), self._weights(), True, 1, 0.0, self.training, False
        )  # fmt: skip
        return torch.empty_like(y_ND).index_copy(0, places_N, y_ND).view_as(x_BTD)

    def _weights(self) -> list[Tensor]:
        # torch adds two biases, of which one is enough.
        return [self.input_gates, self.recurrent_gates, self.bias, torch.zeros_like(self.bias)]


class LSTM(RecurrentLanguageModel):
    """A stack of LSTM layers between an embedding and an output matrix."""

    def __init__(self, config: LSTMConfig) -> None:
        """Make the model with weights that are only fit to be replaced; see `initialise`."""
        layers = (FusedLSTM(config.width) for _ in range(config.layers))
        super().__init__(config, layers, width=config.width, tied=config.tie_embeddings)


@torch.no_grad()
def initialise(model: LSTM, seed: int) -> None:
    """Set every parameter from the seed alone: matrices evenly within 1 / sqrt(width), embeddings normal with
    a deviation of 0.3, biases zero but for those of forget gates, which are one.

    No norm stands between embeddings and gates, nor between outputs, which are below one, and the output
    matrix: with 0.02, as behind norms, gates see next to nothing and all logits are alike for long.
    """
    generator = torch.Generator().manual_seed(seed)
    width = model.config.width
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
            parameter[width : 2 * width] = FORGET_BIAS
        elif "embedding" in name:
            parameter.copy_(EMBEDDING_DEVIATION * torch.randn(parameter.shape, generator=generator))
        else:
            parameter.copy_((2 * torch.rand(parameter.shape, generator=generator) - 1) * width**-0.5)
