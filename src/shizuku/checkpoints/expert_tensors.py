"""Experts in files: one tensor for each, as most files have them, or one for all, as transformers computes.

Legend: `E` experts, `F` hidden features of one, `D` width.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shizuku.checkpoints.translations import Foreign, Translation
from shizuku.checkpoints.weights import Weight, weight
from shizuku.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

_TOGETHER = re.compile(r"(.*layers\.\d+\.)mlp\.(?:experts\.(gate_up_proj|down_proj)|(gate\..*))")


def expert_weights(place: str, gate: str, up: str, down: str) -> tuple[Weight, ...]:
    """The entries of a router and its experts, in the layer's module `place`."""
    ours, theirs = "blocks.{n}.feedforward.experts.{e}", f"layers.{{n}}.{place}.experts.{{e}}"
    return (
        Weight(theirs=f"layers.{{n}}.{place}.gate.weight", ours=("blocks.{n}.feedforward.router.weight",)),
        *weight(f"{theirs}.{gate}", f"{ours}.gate"),
        *weight(f"{theirs}.{up}", f"{ours}.up"),
        *weight(f"{theirs}.{down}", f"{ours}.down"),
    )


def number_of_experts(key: str, other: str, *, default: int) -> Translation:
    """Translate the number of experts, under the one key or the other; `default` where neither is there."""

    def read(foreign: Foreign) -> dict[str, Any]:
        found = {foreign[one] for one in (key, other) if foreign.get(one) is not None}
        if len(found) > 1:
            raise CheckpointError(f"the number of experts is given twice and differs: {sorted(found)}")
        return {"experts": next(iter(found), default)}

    return Translation(keys=(key, other), read=read, write=lambda config: {key: config.experts})


def split_experts(names: tuple[str, str, str, str], tensors: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    """The tensors with those of all experts at once, `mlp.experts.gate_up_proj` [E, 2 F, D] and `down_proj`
    [E, D, F], as one for each expert, under the `names` that `expert_weights` takes.
    """
    place, gate, up, down = names
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        match = _TOGETHER.fullmatch(name)
        if match is None or (match[2] and tensor.dim() != 3):
            found[name] = tensor
        elif match[3]:
            found[f"{match[1]}{place}.{match[3]}"] = tensor
        else:
            parts = {down: tensor}
            if match[2] == "gate_up_proj":
                parts = dict(zip((gate, up), tensor.chunk(2, dim=1), strict=True))
            for part, tensor_EOI in parts.items():
                for expert, tensor_OI in enumerate(tensor_EOI):
                    found[f"{match[1]}{place}.experts.{expert}.{part}.weight"] = tensor_OI
    return found
