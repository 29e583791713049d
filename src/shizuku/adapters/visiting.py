"""An adapter that is on a model for the time of a call, and leaves nothing behind."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from shizuku.adapters.layers import AdaptedLinear, Base
from shizuku.adapters.surgery import decoder_of, frozen_pairs
from shizuku.adapters.weights import AdapterWeights
from shizuku.quantization.surgery import put_layer

_NAME = "visiting"


class VisitingAdapter:
    """An adapter with its layers made ready, for a model whose parameters it doesn't join."""

    def __init__(self, model: nn.Module, weights: AdapterWeights) -> None:
        """Make it ready; ModelError where it doesn't fit the model."""
        self._pairs = frozen_pairs(model, weights)
        self._layers: dict[str, AdaptedLinear] = {}

    @contextmanager
    def on(self, model: nn.Module, like: torch.Tensor) -> Iterator[None]:
        """Inside the `with` the model's base computes with it, on the device and in the type of `like`."""
        decoder = decoder_of(model)
        before = {layer: decoder.get_submodule(layer) for layer in self._pairs}
        try:
            for layer, place in before.items():
                base = place.base if isinstance(place, AdaptedLinear) else place
                put_layer(decoder, layer, self._beside(layer, base, like))
            yield
        finally:
            for layer, place in before.items():
                put_layer(decoder, layer, place)

    def _beside(self, layer: str, base: nn.Module, like: torch.Tensor) -> AdaptedLinear:
        found, pair = self._layers.get(layer), self._pairs[layer]
        if pair.a_RI.device != like.device or pair.a_RI.dtype != like.dtype:
            pair.to(like.device, like.dtype)
        if found is None or found.base is not base:
            assert isinstance(base, Base), "adapters stand beside linear layers"
            found = self._layers[layer] = AdaptedLinear(base).train(base.training)
            found.put(_NAME, pair.train(base.training))
            found.active = _NAME
        return found
