"""Small models and adapters whose every number is random, for the tests of adapters."""

import torch

from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.surgery import attach, pairs_of
from shizuku.models.decoder import Decoder
from shizuku.quantization.matrices import quantize_matrix
from shizuku.quantization.scheme import Scheme
from shizuku.quantization.surgery import matrices, pack_layer
from small_models import small_model

IDS = torch.randint(400, (2, 12), generator=torch.Generator().manual_seed(7))
INT4 = Scheme(method="rtn", bits=4, group_size=16)
CODEBOOK = Scheme(method="codebook", bits=4, group_size=16)


def randomise(model: torch.nn.Module, name: str = "default", seed: int = 1) -> None:
    """Give every number of an adapter a random value, of a size that moves the logits."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for pair in pairs_of(model, name).values():
            for part in (pair.a_RI, pair.b_OR):
                part.copy_(torch.randn(part.shape, generator=generator) / part.shape[1] ** 0.5 / 2)
            if pair.length_O is not None:
                pair.length_O.mul_(1 + torch.rand(pair.length_O.shape, generator=generator) / 2)


def adapted(
    config: AdapterConfig, *, shape: str = "llama", scheme: Scheme | None = None, seed: int = 0
) -> Decoder:
    """A small model, packed where there is a scheme, with a random adapter."""
    model = small_model(shape, seed)
    if scheme is not None:
        packed(model, scheme)
    attach(model, config, seed=seed)
    randomise(model)
    return model


def packed(model: Decoder, scheme: Scheme) -> None:
    """Pack the blocks' matrices."""
    for name, layer in matrices(model).items():
        if name.startswith("blocks."):
            rounded = quantize_matrix(layer.weight, scheme)
            pack_layer(model, name, rounded.layout, rounded.arrays)
