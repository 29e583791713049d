"""One optimizer step: count, sum, divide by the global counts, check, clip, move."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from shizuku.errors import TrainingError
from shizuku.training.batches import DeviceBatch
from shizuku.training.config import PrecisionName
from shizuku.training.distribution import place, sum_gradients, sum_over_ranks
from shizuku.training.expert_parallel import own_parameters
from shizuku.training.objectives import Objective
from shizuku.training.precision import products_in
from shizuku.training.sharding import whole


@dataclass(frozen=True, slots=True)
class StepLoss:
    """What one step's batches say."""

    loss: float
    """Sum of the data terms' means, each times its coefficient."""
    means: dict[str, float]
    """Every term's mean."""
    grad_norm: float
    """Norm of the whole gradient before clipping."""


def accumulate_gradients(
    model: nn.Module,
    objective: Objective,
    batches: Sequence[DeviceBatch],
    *,
    precision: PrecisionName = "float32",
    scale: float = 1.0,
) -> StepLoss:
    """Add the gradient of the step's loss to the parameters.

    Products are in `precision`; on its way through them the gradient is `scale` times as large. Counts are
    summed over all batches and processes before the first forward pass, so that every unit weighs the same,
    however units are spread over batches. TrainingError if nothing counts for a term that measures the data.
    """
    terms = objective.terms
    counts = dict.fromkeys(terms, 0)
    for batch in batches:
        for name, count in objective.counts(batch).items():
            counts[name] += count
    totals = dict(zip(counts, sum_over_ranks(map(float, counts.values())), strict=True))
    if not any(totals[name] for name, term in terms.items() if term.data):
        raise TrainingError("nothing in this step's batches counts for the loss: every token is masked")
    sums = dict.fromkeys(terms, 0.0)
    for batch in batches:
        weighted: list[Tensor] = []
        with products_in(precision, next(model.parameters()).device):
            values = objective.loss(model, batch)
        for name, value in values.items():
            sums[name] += float(value.detach())
            if totals[name]:
                weighted.append(value * (terms[name].coefficient / totals[name]))
        total = torch.stack(weighted).sum() if weighted else None
        if total is not None and total.requires_grad:
            (total if scale == 1.0 else total * scale).backward()
    own = own_parameters(model)
    sum_gradients(_gradients(model, without=own))
    if scale != 1.0:
        torch._foreach_mul_(_gradients(model), 1.0 / scale)
    summed = dict(zip(sums, sum_over_ranks(sums.values()), strict=True))
    means = {name: summed[name] / totals[name] if totals[name] else 0.0 for name in terms}
    return StepLoss(
        loss=sum(terms[name].coefficient * mean for name, mean in means.items() if terms[name].data),
        means=means,
        grad_norm=_norm(model, own),
    )


def clip_gradients(model: nn.Module, norm: float, largest: float | None) -> None:
    """Shorten the whole gradient, whose norm is `norm`, to `largest`."""
    if largest is not None and norm > largest:
        torch._foreach_mul_(_gradients(model), largest / norm)


def check_finite_step(
    result: StepLoss, step: int, batches: Sequence[DeviceBatch], out: Path, *, advice: str = ""
) -> None:
    """Save the batches and raise TrainingError naming the file if a loss or the gradient is not finite."""
    values = {**result.means, "gradient norm": result.grad_norm}
    bad = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
    if not bad:
        return
    rank, world = place()
    suffix = f"-rank-{rank}" if world > 1 else ""
    path = out / f"bad-batch-step-{step}{suffix}.safetensors"
    tensors = {
        f"{number}.{name}": tensor.contiguous().cpu()
        for number, batch in enumerate(batches)
        for name, tensor in batch.tensors().items()
    }
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    raise TrainingError(
        f"step {step}: {' and '.join(bad)}; the weights were not moved. The batch is in {path}. "
        "Lower --loop.optimizer.learning-rate or --loop.optimizer.muon-learning-rate, or set --loop.clip, "
        f"and start again with another --out{advice}"
    )


def _gradients(model: nn.Module, *, without: Collection[Tensor] = ()) -> list[Tensor]:
    return [p.grad for p in model.parameters() if p.grad is not None and p not in without]


def _norm(model: nn.Module, own: Collection[Tensor]) -> float:
    """Of the whole gradient, of which each process may have `own` parts."""
    norm = float(whole(torch.nn.utils.get_total_norm(_gradients(model, without=own))))
    if not own:
        return norm
    here = float(torch.nn.utils.get_total_norm([p.grad for p in own if p.grad is not None]))
    return math.sqrt(norm**2 + sum_over_ranks([here**2])[0])
