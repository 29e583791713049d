"""A running average of the weights: what is evaluated and saved, while the optimizer moves the weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from shizuku.training.resume import take_weights, weights_as

RAW = "raw_weight"
"""What the optimizer's weights are called in a saved state, as `<parameter>/raw_weight`."""


class RunningAverage:
    """The exponential moving average of a model's trainable parameters (Polyak and Juditsky 1992).

    After step t an average moves by 1 - min(decay, (1 + t) / (10 + t)) of the way to the weights, so that
    early ones, which say little, are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._averages = {name: weight.detach().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimizer step `step`, the first being 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_([*self._averages.values()], [*self._weights.values()], 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model hold the averages inside the `with` block, and its own weights again after it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def leave_in_place(self) -> None:
        """Give the model the averages for good."""
        for name, weight in self._weights.items():
            weight.copy_(self._averages[name])

    def raw(self) -> dict[str, Tensor]:
        """The optimizer's weights while the averages are in place, by `<parameter>/raw_weight`."""
        return weights_as(RAW, self._averages)

    @torch.no_grad()
    def take_up(self, saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Go on from a model that was loaded with its averages; returns what of `saved` is not the weights.

        TrainingError if the weights are not among `saved`.
        """
        for name, weight in self._weights.items():
            self._averages[name].copy_(weight)
        return take_weights(RAW, saved, self._weights)

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self._weights.items():
            kept = weight.detach().clone()
            weight.copy_(self._averages[name])
            self._averages[name].copy_(kept)
