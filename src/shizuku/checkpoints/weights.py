"""Foreign tensors under our names: tables of what corresponds to what, and their use."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from shizuku.errors import CheckpointError
from shizuku.models.decoder import Decoder, DecoderConfig

_FLOATS = {torch.float32, torch.float16, torch.bfloat16, torch.float64}


@dataclass(frozen=True, kw_only=True, slots=True)
class Weight:
    """One foreign tensor and the tensors here that it is made of; `{n}` stands for the layer."""

    theirs: str
    """Its name, without the family's prefix."""
    ours: tuple[str, ...]
    """Our names; several are stacked along the first dimension."""
    transposed: bool = False
    """Whether a matrix is stored as [inputs, outputs]."""
    by_head: bool = False
    """Whether each head's rows of the several tensors stand together, head after head."""
    groups: int = 1
    """In how many groups the several tensors' rows alternate: with `by_head` the heads, once written out."""


def weight(theirs: str, *ours: str, transposed: bool = False, by_head: bool = False) -> tuple[Weight, ...]:
    """Return the entries of a module: its weight and its bias, where it has one."""
    return tuple(
        Weight(
            theirs=f"{theirs}.{part}",
            ours=tuple(f"{name}.{part}" for name in ours),
            transposed=transposed and part == "weight",
            by_head=by_head,
        )
        for part in ("weight", "bias")
    )


def expected_shapes(config: DecoderConfig) -> dict[str, torch.Size]:
    """Return the name and shape of every parameter of this config; impossible sizes raise CheckpointError."""
    try:
        with torch.device("meta"):
            return {name: tensor.shape for name, tensor in Decoder(config).state_dict().items()}
    except (RuntimeError, TypeError, OverflowError) as error:  # torch's answers to sizes beyond 64 bits
        raise CheckpointError(f"the config's sizes are impossible: {config}") from error


def written_out(
    weights: tuple[Weight, ...], config: DecoderConfig, present: Mapping[str, object]
) -> Iterator[Weight]:
    """Yield the entries of all layers whose tensors here are among those `present`."""
    for entry in weights:
        for n in range(config.layers) if "{n}" in entry.theirs else (0,):
            ours = tuple(name.format(n=n) for name in entry.ours)
            if ours[0] in present:
                theirs, groups = entry.theirs.format(n=n), config.heads if entry.by_head else 1
                yield replace(entry, theirs=theirs, ours=ours, groups=groups)


def to_ours(
    weights: tuple[Weight, ...],
    config: DecoderConfig,
    tensors: Mapping[str, Tensor],
    names: Callable[[str], tuple[str, ...]],
) -> tuple[dict[str, Tensor], list[str]]:
    """Return foreign tensors under our names in float32, and the names of those that were not used.

    `names` gives the spellings under which an entry may be found. Tensors that are missing or of the wrong
    shape raise CheckpointError naming them.
    """
    if config.layers > len(tensors):
        raise CheckpointError(
            f"the config says {config.layers:,} layers, but there are {len(tensors)} tensors"
        )
    expected = expected_shapes(config)
    found: dict[str, Tensor] = {}
    used, missing = set(), []
    for entry in written_out(weights, config, expected):
        spellings = names(entry.theirs)
        name = next((spelling for spelling in spellings if spelling in tensors), None)
        if name is None:
            missing.append(spellings[0])
            continue
        used.add(name)
        shapes = [expected[ours] for ours in entry.ours]
        found.update(zip(entry.ours, _split(name, tensors[name], shapes, entry), strict=True))
    if missing:
        raise CheckpointError(f"{len(missing)} tensors are missing: {few(missing)}")
    return found, sorted(set(tensors) - used)


def to_theirs(entry: Weight, state_dict: Mapping[str, Tensor]) -> Tensor:
    """Return the foreign tensor of one written-out entry."""
    parts = [state_dict[name].detach() for name in entry.ours]
    stacked = parts[0]
    if len(parts) > 1:
        grouped = [part.reshape(entry.groups, -1, *part.shape[1:]) for part in parts]
        stacked = torch.cat(grouped, dim=1).reshape(-1, *parts[0].shape[1:])
    return (stacked.t() if entry.transposed else stacked).contiguous()


def few(names: list[str]) -> str:
    """Return the first names of a list, for a message."""
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _split(name: str, tensor: Tensor, shapes: list[torch.Size], entry: Weight) -> list[Tensor]:
    if tensor.dtype not in _FLOATS:
        raise CheckpointError(f"tensor {name} is of type {tensor.dtype}; expected floating-point weights")
    stacked = torch.Size((sum(shape[0] for shape in shapes), *shapes[0][1:]))
    wanted = torch.Size(reversed(stacked)) if entry.transposed else stacked
    if tensor.shape != wanted:
        raise CheckpointError(f"tensor {name} has shape {list(tensor.shape)}; the config says {list(wanted)}")
    tensor = tensor.to(torch.float32)
    rows = tensor.t() if entry.transposed else tensor
    grouped = rows.reshape(entry.groups, -1, *rows.shape[1:])
    parts = grouped.split([shape[0] // entry.groups for shape in shapes], dim=1)
    return [part.reshape(shape).contiguous() for part, shape in zip(parts, shapes, strict=True)]
