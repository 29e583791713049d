"""Sums over the processes of a `torchrun` job; with one process they are what was given."""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def place() -> tuple[int, int]:
    """This process's rank and how many there are."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def sum_over_ranks(values: Iterable[float]) -> list[float]:
    """Each value summed over all processes, in float64."""
    values = list(values)
    if place()[1] == 1:
        return values
    total = torch.tensor(values, dtype=torch.float64)
    if dist.get_backend() == "nccl":
        total = total.cuda()
    dist.all_reduce(total)
    return [float(value) for value in total]


def sum_gradients(gradients: list[Tensor]) -> None:
    """Sum gradients over all processes in place: losses are divided by global counts, so sums are right."""
    if place()[1] == 1:
        return
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(summed.view_as(gradient))


def wait_for_all() -> None:
    """Return when every process has come here."""
    if place()[1] > 1:
        dist.barrier()
