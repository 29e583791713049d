"""Codebooks: the few numbers that stand best for all numbers of a matrix, by weighted k-means on the line.

Numbers on a line keep their order, so a cluster is a run of the sorted numbers: with running sums an
iteration of Lloyd's (1957, published 1982) costs a search for k - 1 boundaries, whatever the matrix's size.
"""

import numpy as np

ITERATIONS = 5000
TOLERANCE = 1e-9
"""The largest move of a centre, beside the deviation of the numbers, at which the iteration has converged."""
BINS = 4096


def best_codebook(values_N: np.ndarray, size: int, weights_N: np.ndarray | None = None) -> np.ndarray:
    """`size` centres float32, in ascending order, with the least weighted squared error nearby.

    Every centre is the nearest of at least one number with a weight above zero, as long as the numbers have
    `size` different values; where they have fewer, the centres are those values and the last is repeated.
    """
    values = np.asarray(values_N, dtype=np.float64).ravel()
    weights = np.ones_like(values) if weights_N is None else np.asarray(weights_N, dtype=np.float64).ravel()
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order]
    values, weights = values[weights > 0], weights[weights > 0]
    distinct = np.unique(values)
    if len(distinct) <= size:
        filled = np.full(size, distinct[-1] if len(distinct) else 0.0)
        filled[: len(distinct)] = distinct
        return filled.astype(np.float32)
    sums = _Sums(values, weights)
    centres = _first_centres(values, weights, size)
    scale = float(values.std())
    for _ in range(ITERATIONS):
        bounds = sums.bounds(centres)
        moved = sums.means(bounds, centres)
        empty = np.flatnonzero(np.diff(bounds) == 0)
        if len(empty):
            moved = sums.refilled(bounds, moved, int(empty[0]))
        elif np.abs(moved - centres).max() <= TOLERANCE * scale:
            break
        centres = moved
    return centres.astype(np.float32)


def nearest(values_N: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """The code of the nearest centre for every number, uint8, in the shape of the numbers."""
    middles = (codebook[1:].astype(np.float64) + codebook[:-1]) / 2
    return np.searchsorted(middles, values_N, side="left").astype(np.uint8)


class _Sums:
    """Running sums over sorted numbers."""

    def __init__(self, values: np.ndarray, weights: np.ndarray) -> None:
        self.values = values
        self.weight = np.concatenate([[0.0], np.cumsum(weights)])
        self.first = np.concatenate([[0.0], np.cumsum(weights * values)])
        self.second = np.concatenate([[0.0], np.cumsum(weights * values * values)])

    def bounds(self, centres: np.ndarray) -> np.ndarray:
        """Where the cluster of each centre begins, and where the last one ends."""
        middles = (centres[1:] + centres[:-1]) / 2
        return np.concatenate([[0], np.searchsorted(self.values, middles), [len(self.values)]])

    def means(self, bounds: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
        weight, total = np.diff(self.weight[bounds]), np.diff(self.first[bounds])
        return np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), otherwise)

    def refilled(self, bounds: np.ndarray, centres: np.ndarray, empty: int) -> np.ndarray:
        """The centres with the empty one moved into the cluster with the largest error, which is halved."""
        weight, first, second = (np.diff(s[bounds]) for s in (self.weight, self.first, self.second))
        error = second - first**2 / np.where(weight > 0, weight, 1.0)
        several = (
            self.values[np.maximum(bounds[1:] - 1, 0)]
            > self.values[np.minimum(bounds[:-1], len(self.values) - 1)]
        )
        worst = int(np.argmax(np.where(several & (np.diff(bounds) > 1), error, -np.inf)))
        low, high = self.values[bounds[worst]], self.values[bounds[worst + 1] - 1]
        rest = np.delete(centres, (worst, empty))
        split = (low + centres[worst]) / 2, (centres[worst] + high) / 2
        return np.sort(np.concatenate([rest, split]))


def _first_centres(values: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """Centres spread by the cube root of the density, where the best ones lie (Panter and Dite 1951)."""
    mass, edges = np.histogram(values, bins=BINS, weights=weights)
    spread = np.concatenate([[0.0], np.cumsum(np.cbrt(mass))])
    wanted = (np.arange(size) + 0.5) / size * spread[-1]
    centres: np.ndarray = np.interp(wanted, spread, edges)
    return centres
