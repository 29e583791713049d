"""Which few numbers of a matrix are worth keeping in float16 beside the rest.

A number far from its group widens the grid of all the others. For every group it is worked out how much
the expected error, width^2 times the inputs' mean squares, falls with each end taken off, and the budget is
spent where it falls most. R rows, C columns, G groups of a row, N numbers of a group.
"""

import torch
from torch import Tensor

from shizuku.quantization.rounding import padded_groups
from shizuku.quantization.scheme import Layout

MOST_OF_GROUP = 24
"""At most so many numbers of a group are considered, plus what four times the share would take."""
HALVINGS = 40


def choose_outliers(weight_RC: Tensor, layout: Layout, share: float, importance_C: Tensor | None) -> Tensor:
    """Mark `share` of the numbers, bool [R, C]: those without which the grids become finest."""
    rows, columns = weight_RC.shape
    budget = min(round(share * rows * columns), rows * columns)
    kept_RC = torch.zeros(rows, columns, dtype=torch.bool)
    if budget == 0:
        return kept_RC
    groups_RGN = padded_groups(weight_RC, layout.group)
    size = groups_RGN.shape[-1]
    most = min(MOST_OF_GROUP + int(4 * share * size), size - 2)
    importance_G = torch.full((groups_RGN.shape[1],), float(size))
    if importance_C is not None:
        importance_G = padded_groups(importance_C[None].float(), layout.group, empty=True).sum(-1)[0]
    sorted_RGN, places_RGN = groups_RGN.sort(dim=-1)
    low_RGS, widths_RGS = _best_ends(sorted_RGN, most, symmetric=layout.grid == "symmetric")
    taken_RG = _spend(widths_RGS.square() * importance_G[:, None], budget)
    low_RG = low_RGS.gather(-1, taken_RG[..., None])
    high_RG = taken_RG[..., None] - low_RG
    rank_N = torch.arange(size)
    marked_RGN = (rank_N < low_RG) | (rank_N >= size - high_RG)
    whole_RGN = torch.zeros_like(marked_RGN).scatter(-1, places_RGN, marked_RGN)
    return whole_RGN.flatten(1)[:, :columns]


def least_fitting(error_RC: Tensor, share: float, importance_C: Tensor | None) -> Tensor:
    """Mark the `share` of numbers with the largest weighted squared error, bool [R, C]."""
    weighted_RC = error_RC.square() if importance_C is None else error_RC.square() * importance_C
    budget = round(share * error_RC.numel())
    kept = torch.zeros(error_RC.numel(), dtype=torch.bool)
    kept[weighted_RC.flatten().topk(budget).indices] = True
    return kept.view(error_RC.shape)


def _best_ends(sorted_RGN: Tensor, most: int, *, symmetric: bool) -> tuple[Tensor, Tensor]:
    """For 0 to `most` numbers taken off: how many of them at the low end, and the width that is left."""
    size, lows, widths = sorted_RGN.shape[-1], [], []
    for taken in range(most + 1):
        best_RG: Tensor | None = None
        for low in range(taken + 1):
            start_RG, end_RG = sorted_RGN[..., low], sorted_RGN[..., size - 1 - (taken - low)]
            width_RG = torch.maximum(start_RG.abs(), end_RG.abs()) if symmetric else end_RG - start_RG
            if best_RG is None:
                best_RG, low_RG = width_RG, torch.zeros_like(width_RG, dtype=torch.long)
            else:
                low_RG = torch.where(width_RG < best_RG, low, low_RG)
                best_RG = torch.minimum(best_RG, width_RG)
        assert best_RG is not None, "at least one way to take off `taken`"
        lows.append(low_RG)
        widths.append(best_RG)
    return torch.stack(lows, dim=-1), torch.stack(widths, dim=-1)


def _spend(errors_RGS: Tensor, budget: int) -> Tensor:
    """How many numbers each group gives up, [R, G], so that the errors' sum falls most for the budget.

    Every group takes the number that is best at one price a piece; the price is found by halving.
    """
    pieces_S = torch.arange(errors_RGS.shape[-1], dtype=errors_RGS.dtype)
    free, dear = 0.0, float((errors_RGS[..., 0] - errors_RGS[..., -1]).max()) + 1e-30
    taken_RG = torch.zeros(errors_RGS.shape[:-1], dtype=torch.long)
    for _ in range(HALVINGS):
        price = (free + dear) / 2
        wanted_RG = (errors_RGS + price * pieces_S).argmin(-1)
        if int(wanted_RG.sum()) > budget:
            free = price
        else:
            dear, taken_RG = price, wanted_RG
    return taken_RG
