"""Adapters that a runtime has beside its base, of which one may act on each span. Nothing here needs torch.

A sequence is read and continued under one adapter, or under none. Its keys and values are that adapter's
too, so that the cache's blocks are found again by sequences of the same adapter only.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from shizuku.adapters.weights import AdapterWeights, LowRank, check_low_rank
from shizuku.errors import ConfigError, ModelError
from shizuku.models.decoder_config import DecoderConfig
from shizuku.models.parameter_shapes import parameter_shapes
from shizuku.quantization.packed import PackedTensor

# Between these a matrix's largest number leaves halves enough bits for the smaller ones.
HALVES = (2.0**-9, 65504.0)


@runtime_checkable
class AdaptingRuntime(Protocol):
    """A runtime that can have adapters."""

    @property
    def config(self) -> DecoderConfig:
        """What the base is."""

    @property
    def adapters(self) -> Mapping[str, bytes]:
        """The digests of those that it has, by name, in the order in which they came."""

    def add_adapter(self, name: str, weights: AdapterWeights) -> None:
        """Have one more. Nobody may call the runtime meanwhile: see `Engine.add_adapter`.

        ConfigError for a name that is taken, ModelError for an adapter that doesn't fit the base.
        """


def adapters_of(runtime: object) -> Mapping[str, bytes]:
    """The digests of a runtime's adapters by name; empty for one that can have none."""
    return runtime.adapters if isinstance(runtime, AdaptingRuntime) else {}


def kind_of(runtime: object, name: str | None) -> bytes:
    """What tells an adapter's cache blocks from others': its digest, nothing for the base alone.

    ConfigError for a name that the runtime has no adapter of.
    """
    if name is None:
        return b""
    found = adapters_of(runtime)
    if name not in found:
        there = ", ".join(map(repr, found)) or "none"
        raise ConfigError(f"there is no adapter {name!r} on this model (there: {there})")
    return found[name]


def admit(adapters: Mapping[str, bytes], name: str, weights: AdapterWeights, config: DecoderConfig) -> bytes:
    """The digest under which a runtime of this config may take an adapter; raises as `add_adapter`."""
    if not name:
        raise ConfigError("an adapter needs a name")
    if name in adapters:
        raise ConfigError(f"there is an adapter {name!r} on this model already: give another name")
    if not weights.layers:
        raise ModelError(f"adapter {name!r} is on no layer")
    shapes = parameter_shapes(config)
    for layer, low_rank in weights.layers.items():
        shape = shapes.get(f"{layer}.weight", ())
        if len(shape) != 2 or not layer.startswith("blocks."):
            raise ModelError(
                f"adapter {name!r} is on {layer}, which is no linear layer of this model's blocks: it is for "
                "another base"
            )
        if 0 in low_rank.a_RI.shape:
            raise ModelError(f"adapter {name!r} has rank 0 on {layer}: it is empty")
        check_low_rank(layer, low_rank, (shape[0], shape[1]), dora=weights.config.dora)
    return digest_of(weights)


def digest_of(weights: AdapterWeights) -> bytes:
    """A digest of all that an adapter adds, 16 bytes."""
    found = hashlib.blake2b(digest_size=16)
    for layer, low_rank in sorted(weights.layers.items()):
        found.update(f"{layer} {len(low_rank.a_RI)} {weights.config.scale!r}\n".encode())
        for array in (low_rank.a_RI, low_rank.b_OR, low_rank.length_O):
            if array is not None:
                found.update(np.ascontiguousarray(array, np.float32).tobytes())
    return found.digest()


def packed_low_rank(low_rank: LowRank, scale: float, *, half: bool) -> tuple[PackedTensor, PackedTensor]:
    """A, and B with the scale inside it, as the native library takes them: float16 where `half` and they fit.

    A power of two is moved from one to the other, so that both keep what they can of the few bits. What
    doesn't fit stays float32.
    """
    a_RI = np.ascontiguousarray(low_rank.a_RI, np.float32)
    b_OR = np.ascontiguousarray(low_rank.b_OR, np.float32) * np.float32(scale)
    if half:
        most_a, most_b = float(np.abs(a_RI).max()), float(np.abs(b_OR).max())
        if most_a > 0 and most_b > 0:
            moved = round(math.log2(most_a / most_b) / 2)
            a_RI, b_OR = np.ldexp(a_RI, -moved), np.ldexp(b_OR, moved)
            largest = (float(np.abs(a_RI).max()), float(np.abs(b_OR).max()))
            half = HALVES[0] < min(largest) and max(largest) < HALVES[1]
    kind, form = ("f16", np.float16) if half else ("f32", np.float32)
    a, b = (np.ascontiguousarray(array, form) for array in (a_RI, b_OR))
    return (
        PackedTensor(kind, a.shape, a.view(np.uint8)),  # type: ignore[arg-type]
        PackedTensor(kind, b.shape, b.view(np.uint8)),  # type: ignore[arg-type]
    )
