"""The training forward: log-probabilities, entropies and values of the tokens of answers.

Legend: `B` rows, `T` tokens of a row, `N` tokens of answers, `C` of one chunk, `D` width, `V` vocabulary.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

LOGIT_BYTES = 64 << 20
"""Logits held at once; what is above is worked out again in the backward pass."""


@dataclass(frozen=True, slots=True)
class AnswerBatch:
    """Prompts with their answers, one a row, padded behind."""

    ids_BT: Tensor
    """int64: the inputs."""
    targets_BT: Tensor
    """int64: what comes after each input."""
    mask_BT: Tensor
    """bool: True where the target is a token of the answer."""
    segments_BT: Tensor
    """int64: 0, and -1 where there is padding."""
    logp_BT: Tensor
    """Log-probabilities of the targets when they were drawn (nats, at the temperature)."""
    reference_BT: Tensor
    """Those of the reference."""
    advantages_BT: Tensor
    """How much better than expected each target was."""
    values_BT: Tensor
    """What the value model expected."""
    returns_BT: Tensor
    """What it should have expected."""

    def to(self, device: torch.device) -> "AnswerBatch":
        """The same batch on `device`."""
        return AnswerBatch(**{name: tensor.to(device) for name, tensor in self.tensors().items()})

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and tokens in a row."""
        return self.ids_BT.shape[0], self.ids_BT.shape[1]

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def token_logprobs(
    unembed: Any,
    x_ND: Float[Tensor, "N D"],
    targets_N: Int[Tensor, " N"],
    *,
    vocab_size: int,
    temperature: float,
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Log-probability of each target and entropy of its distribution, in nats, at the temperature."""

    def of_chunk(x_CD: Tensor, targets_C: Tensor) -> tuple[Tensor, Tensor]:
        logits_CV = unembed(x_CD)
        if temperature != 1:
            logits_CV = logits_CV / temperature
        logp_CV = torch.log_softmax(logits_CV, -1)
        entropy_C = -(logp_CV.exp() * logp_CV).sum(-1)
        return logp_CV.gather(1, targets_C[:, None])[:, 0], entropy_C

    size = max(1, LOGIT_BYTES // (vocab_size * x_ND.element_size()))
    if len(x_ND) <= size:
        return of_chunk(x_ND, targets_N)
    parts = [
        checkpoint(of_chunk, x_CD, targets_C, use_reentrant=False)
        for x_CD, targets_C in zip(x_ND.split(size), targets_N.split(size), strict=True)
    ]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def policy_logprobs(
    model: Any, batch: AnswerBatch, *, temperature: float
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"], Float[Tensor, "B T D"]]:
    """Log-probabilities and entropies of the answers' tokens, and the stream that they were read from.

    `model` is a decoder; a value that is not finite comes out as it is.
    """
    x_BTD = model.hidden(batch.ids_BT, segments_BT=batch.segments_BT)
    logp_N, entropy_N = token_logprobs(
        model.unembed, x_BTD[batch.mask_BT], batch.targets_BT[batch.mask_BT],
        vocab_size=model.config.vocab_size, temperature=temperature,
    )  # fmt: skip
    return logp_N, entropy_N, x_BTD
