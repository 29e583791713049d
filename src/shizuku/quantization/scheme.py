"""How weight matrices are made smaller: the user's scheme, and what of it lies in a file. No torch here.

R rows (outputs), C columns (inputs) of a matrix.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from shizuku.config import from_dict, to_dict
from shizuku.errors import ConfigError

Method = Literal["rtn", "gptq", "codebook", "outlier"]
"""Round to nearest; GPTQ (Frantar et al. 2022); k-means codebooks; GPTQ with outliers kept in float16."""
Grid = Literal["symmetric", "asymmetric", "codebook"]
"""w = scale (code - 2^(bits - 1)); w = scale code + offset; w = scale codebook[code]."""
MOST_BITS, FEWEST_BITS = 8, 2
MOST_CODEBOOK_BITS = 4
OUTLIER_SHARE = 0.005


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheme:
    """How one matrix is rounded."""

    method: Method = "rtn"
    """rtn, gptq, codebook or outlier."""
    bits: int = 4
    """Bits of each number, 2 to 8 (codebook: 2 to 4)."""
    group_size: int = 64
    """Numbers of a row that share a scale; 0: a whole row (codebook: no scale at all)."""
    symmetric: bool = False
    """Whether the grid is centred on zero, without an offset."""
    outliers: float = 0.0
    """Share of the numbers that stay in float16 beside the rest."""

    def __post_init__(self) -> None:
        """ConfigError for settings out of range."""
        most = MOST_CODEBOOK_BITS if self.method == "codebook" else MOST_BITS
        if not FEWEST_BITS <= self.bits <= most:
            raise ConfigError(
                f"--bits {self.bits}: expected {FEWEST_BITS} to {most} for --method {self.method}"
            )
        if self.group_size < 0 or 0 < self.group_size < 8:
            raise ConfigError(f"--group-size {self.group_size}: expected 8 or more, or 0 for one scale a row")
        if not 0 <= self.outliers <= 0.1:
            raise ConfigError(
                f"--outliers {self.outliers}: expected a share from 0 to 0.1; each outlier takes 32 bits"
            )
        if self.method == "outlier" and self.outliers == 0:
            object.__setattr__(self, "outliers", OUTLIER_SHARE)

    @property
    def grid(self) -> Grid:
        """The grid that its numbers lie on."""
        if self.method == "codebook":
            return "codebook"
        return "symmetric" if self.symmetric else "asymmetric"

    @property
    def label(self) -> str:
        """A short name, such as "gptq 4 bits, groups of 64"."""
        group = f"groups of {self.group_size}" if self.group_size else "whole rows"
        if self.method == "codebook" and not self.group_size:
            group = "one codebook"
        kind = ", symmetric" if self.symmetric and self.method != "codebook" else ""
        kept = f", {self.outliers:.2%} outliers" if self.outliers else ""
        return f"{self.method} {self.bits} bits, {group}{kind}{kept}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What of one matrix lies in a file: its grid, and the type and shape of every array."""

    grid: Grid
    """symmetric, asymmetric or codebook."""
    bits: int
    """Bits of each code."""
    group_size: int
    """Numbers of a row that share a scale; 0: a whole row (codebook: no scale at all)."""
    shape: tuple[int, int]
    """Rows and columns."""
    outliers: int = 0
    """How many numbers stand in float16 beside the codes."""

    def __post_init__(self) -> None:
        """ConfigError for what cannot be."""
        if self.grid not in get_args(Grid):
            raise ConfigError(f"grid {self.grid!r}: expected one of {', '.join(get_args(Grid))}")
        if not FEWEST_BITS <= self.bits <= MOST_BITS or self.group_size < 0 or min(self.shape) < 1:
            raise ConfigError(f"no matrix can be packed like this: {to_dict(self)}")
        if not 0 <= self.outliers <= self.shape[0] * self.shape[1]:
            raise ConfigError(f"{self.outliers} outliers in a matrix of {self.shape}")

    @property
    def groups(self) -> int:
        """How many scales a row has."""
        if self.group_size == 0:
            return 0 if self.grid == "codebook" else 1
        return math.ceil(self.shape[1] / self.group_size)

    @property
    def group(self) -> int:
        """How many columns share a scale; the last group of a row may have fewer."""
        return self.group_size or self.shape[1]

    def arrays(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Name, numpy dtype and shape of every array, in the order in which they are written."""
        rows, columns = self.shape
        found: dict[str, tuple[str, tuple[int, ...]]] = {
            "numbers": ("uint8", (rows, math.ceil(columns / 8) * self.bits))
        }
        if self.groups:
            found["scales"] = ("float16", (rows, self.groups))
        if self.grid == "asymmetric":
            found["offsets"] = ("float16", (rows, self.groups))
        if self.grid == "codebook":
            found["codebook"] = ("float32", (2**self.bits,))
        if self.outliers:
            index = "uint8" if columns < 2**8 else "uint16" if columns < 2**16 else "int32"
            found["outlier_counts"] = (index, (rows,))
            found["outlier_columns"] = (index, (self.outliers,))
            found["outlier_values"] = ("float16", (self.outliers,))
        return found

    @property
    def bytes(self) -> int:
        """What all its arrays take, on the disk and in memory: scales, codebook and indices counted."""
        sizes = {"uint8": 1, "uint16": 2, "float16": 2, "float32": 4, "int32": 4}
        return sum(sizes[kind] * math.prod(shape) for kind, shape in self.arrays().values())

    @property
    def bits_per_weight(self) -> float:
        """Bits that a number of the matrix takes, everything counted."""
        return 8 * self.bytes / math.prod(self.shape)


def layout_of(scheme: Scheme, shape: tuple[int, int], outliers: int = 0) -> Layout:
    """How a matrix of this shape is laid out under a scheme that keeps so many outliers."""
    return Layout(
        grid=scheme.grid, bits=scheme.bits, group_size=scheme.group_size, shape=shape, outliers=outliers
    )


def read_layouts(table: Mapping[str, Any]) -> dict[str, Layout]:
    """The layouts that a config's `quantization` describes, by module; ConfigError if wrong."""
    layers = table.get("layers")
    if not isinstance(layers, Mapping) or not layers:
        raise ConfigError("quantization.layers is missing or empty")
    if table.get("format") != FORMAT:
        raise ConfigError(
            f"quantization.format is {table.get('format')!r}; this version of Shizuku reads {FORMAT}"
        )
    return {str(name): from_dict(Layout, entry, where=str(name)) for name, entry in layers.items()}


FORMAT = 1
"""Number of the way in which packed matrices are written."""

SchemeName = Literal["int8", "int4", "gptq4", "gptq3", "codebook4", "codebook3", "outlier4", "outlier3"]

SCHEMES: dict[SchemeName, Scheme] = {
    "int8": Scheme(method="rtn", bits=8, group_size=64, symmetric=True),
    "int4": Scheme(method="rtn", bits=4, group_size=64),
    "gptq4": Scheme(method="gptq", bits=4, group_size=64),
    "gptq3": Scheme(method="gptq", bits=3, group_size=64),
    "codebook4": Scheme(method="codebook", bits=4, group_size=64),
    "codebook3": Scheme(method="codebook", bits=3, group_size=64),
    "outlier4": Scheme(method="outlier", bits=4, group_size=64),
    "outlier3": Scheme(method="outlier", bits=3, group_size=64),
}
"""Schemes by name. In all but int8 the embedding and output matrices take 8 bits unless told otherwise."""


def for_tables(scheme: Scheme, bits: int | None) -> Scheme | None:
    """The scheme of embedding and output matrices: at least 8 bits where nothing is said; None: float."""
    if bits == 32:
        return None
    if bits is None and (scheme.bits >= 8 or scheme.method == "codebook"):
        bits = 8
    wanted = 8 if bits is None else bits
    if wanted == 8:
        return replace(SCHEMES["int8"], group_size=scheme.group_size or 64)
    return replace(scheme, bits=wanted)
