"""Foreign tensors under our names: tables of what corresponds to what, and their use.

One table serves PyTorch's tensors and numpy's arrays alike: all that is done to rows is to turn them over, to
group them and to take some. Only `to_theirs` imports torch.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby, product
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from shizuku.errors import CheckpointError
from shizuku.models.decoder_config import DecoderConfig
from shizuku.models.parameter_shapes import parameter_shapes

if TYPE_CHECKING:
    from torch import Tensor

Rows = TypeVar("Rows", "Tensor", np.ndarray)
"""A tensor, or an array: of numbers, or of rows that are packed into bytes."""
MOST_BYTES = 1 << 63
"""What no tensor can have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Weight:
    """One foreign tensor and the tensors here that it is made of; `{n}` stands for the layer, `{e}` for the
    expert.
    """

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


def expected_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every parameter of this config; impossible sizes raise CheckpointError."""
    shapes = parameter_shapes(config)
    if any(4 * math.prod(shape) >= MOST_BYTES for shape in shapes.values()):
        raise CheckpointError(f"the config's sizes are impossible: {config}")
    return shapes


def written_out(weights: tuple[Weight, ...], config: Any, present: Mapping[str, object]) -> Iterator[Weight]:
    """Yield the entries of all layers whose tensors here are among those `present`."""
    for entry in weights:
        layers = range(config.layers) if "{n}" in entry.theirs else (0,)
        experts = range(config.experts) if "{e}" in entry.theirs else (0,)
        for n, e in product(layers, experts):
            ours = tuple(name.format(n=n, e=e) for name in entry.ours)
            if ours[0] in present:
                theirs, groups = entry.theirs.format(n=n, e=e), config.heads if entry.by_head else 1
                yield replace(entry, theirs=theirs, ours=ours, groups=groups)


@dataclass(frozen=True, slots=True)
class Source:
    """Where one of our tensors is found: some rows of a foreign one."""

    ours: str
    """Our name."""
    shape: tuple[int, ...]
    """Our shape."""
    theirs: str
    """The foreign name, as it is spelled in the file."""
    entry: Weight
    """The entry of the table, written out."""
    before: int
    """How many of the foreign rows of each group belong to the tensors before this one."""

    def take(self, tensor: Rows) -> Rows:
        """Return this tensor's rows of the foreign one; a view where that is possible."""
        rows = tensor.T if self.entry.transposed else tensor
        if len(self.entry.ours) == 1:
            return rows
        count, rest = self.shape[0] // self.entry.groups, rows.shape[1:]
        grouped = rows.reshape(self.entry.groups, -1, *rest)
        return grouped[:, self.before : self.before + count].reshape(-1, *rest)


def find_sources(
    weights: tuple[Weight, ...],
    config: DecoderConfig,
    shapes: Mapping[str, tuple[int, ...]],
    names: Callable[[str], tuple[str, ...]],
) -> tuple[list[Source], list[str]]:
    """Return where each of our tensors is found, and the names of the foreign tensors that are not used.

    `shapes` are those of the foreign tensors; `names` gives the spellings under which an entry may be found.
    Tensors that are missing or of the wrong shape raise CheckpointError naming them.
    """
    if config.layers > len(shapes):
        raise CheckpointError(
            f"the config says {config.layers:,} layers, but there are {len(shapes)} tensors"
        )
    expected = expected_shapes(config)
    sources: list[Source] = []
    missing = []
    for entry in written_out(weights, config, expected):
        spellings = names(entry.theirs)
        name = next((spelling for spelling in spellings if spelling in shapes), None)
        if name is None:
            missing.append(spellings[0])
            continue
        parts = [expected[ours] for ours in entry.ours]
        _check_shape(name, tuple(shapes[name]), parts, entry)
        before = 0
        for ours, shape in zip(entry.ours, parts, strict=True):
            sources.append(Source(ours, shape, name, entry, before))
            before += shape[0] // entry.groups
    if missing:
        raise CheckpointError(f"{len(missing)} tensors are missing: {few(missing)}")
    return sources, sorted(set(shapes) - {source.theirs for source in sources})


def take_all(sources: list[Source], tensors: Mapping[str, Rows]) -> Iterator[tuple[Source, Rows]]:
    """Yield each source with its rows; a foreign tensor of which several are made is looked up once."""
    for theirs, together in groupby(sources, key=attrgetter("theirs")):
        tensor = tensors[theirs]
        for source in together:
            yield source, source.take(tensor)


def to_theirs(entry: Weight, state_dict: "Mapping[str, Tensor]") -> "Tensor":
    """Return the foreign tensor of one written-out entry."""
    import torch

    parts = [state_dict[name].detach() for name in entry.ours]
    stacked = parts[0]
    if len(parts) > 1:
        grouped = [part.reshape(entry.groups, -1, *part.shape[1:]) for part in parts]
        stacked = torch.cat(grouped, dim=1).reshape(-1, *parts[0].shape[1:])
    return (stacked.t() if entry.transposed else stacked).contiguous()


def few(names: list[str]) -> str:
    """Return the first names of a list, for a message."""
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _check_shape(name: str, seen: tuple[int, ...], parts: list[tuple[int, ...]], entry: Weight) -> None:
    stacked = (sum(shape[0] for shape in parts), *parts[0][1:])
    wanted = stacked[::-1] if entry.transposed else stacked
    if seen != wanted:
        raise CheckpointError(f"tensor {name} has shape {list(seen)}; the config says {list(wanted)}")
