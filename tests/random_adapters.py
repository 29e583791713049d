"""Adapters with random numbers, and models that they are folded into by hand."""

import copy
import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.surgery import name_base, put_weights
from shizuku.adapters.weights import AdapterWeights, LowRank
from shizuku.checkpoints.adapters import save_adapter
from shizuku.checkpoints.directory import checkpoint_digest, load_model
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.models.parameter_shapes import parameter_shapes
from shizuku.text.tokenizer import Tokenizer


def random_adapter(
    config: DecoderConfig,
    *,
    seed: int = 0,
    rank: int = 3,
    targets: tuple[str, ...] = ("blocks.*",),
    dora: bool = False,
    size: float = 1.0,
) -> AdapterWeights:
    """An adapter that adds about `size` times as much to a row as a matrix of gain one computes."""
    rng = np.random.default_rng(seed)
    own = AdapterConfig(rank=rank, targets=targets, dora=dora)
    layers = {}
    for name, shape in parameter_shapes(config).items():
        layer = name.removesuffix(".weight")
        if len(shape) != 2 or not any(fnmatch.fnmatch(layer, pattern) for pattern in targets):
            continue
        if not layer.startswith("blocks.") or layer.endswith(".router"):
            continue
        a_RI = rng.standard_normal((rank, shape[1]), np.float32) / shape[1] ** 0.5
        b_OR = rng.standard_normal((shape[0], rank), np.float32) * size / (own.scale * rank**0.5)
        length_O = np.abs(1 + rng.standard_normal(shape[0], np.float32) / 4) if dora else None
        layers[layer] = LowRank(a_RI, b_OR.astype(np.float32), length_O)
    return AdapterWeights(own, layers)


@torch.no_grad()
def folded(model: Decoder, weights: AdapterWeights) -> Decoder:
    """A copy whose matrices are W + scale B A, with DoRA at the trained lengths."""
    found = copy.deepcopy(model)
    for layer, low_rank in weights.layers.items():
        matrix = found.get_submodule(layer).weight
        matrix += weights.config.scale * torch.from_numpy(low_rank.b_OR @ low_rank.a_RI)
        if low_rank.length_O is not None:
            matrix *= (torch.from_numpy(low_rank.length_O) / matrix.norm(dim=1))[:, None]
    return found


def saved_adapter(directory: Path, base: Path, *, tokenizer: Tokenizer | None = None, **how: Any) -> Path:
    """A random adapter for the checkpoint at `base`, as training saves it; `how` as of `random_adapter`."""
    model = load_model(base)
    put_weights(model, random_adapter(model.config, **how))
    name_base(model, str(base), checkpoint_digest(base))
    return save_adapter(directory, model=model, tokenizer=tokenizer)
