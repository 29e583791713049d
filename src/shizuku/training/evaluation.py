"""The loss on validation batches: terms that measure the data, and nothing that only training adds."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import torch
from torch import nn

from shizuku.data.packing import Batch
from shizuku.errors import TrainingError
from shizuku.training.batches import DeviceBatch, on_device
from shizuku.training.config import LoopConfig
from shizuku.training.distribution import place, sum_over_ranks
from shizuku.training.objectives import Objective
from shizuku.training.sharding import release

MOST, SHARE = 10, 0.15
"""How often a run is judged at most, and the share of its steps' time that this may take."""


def judged_every(loop: LoopConfig, *, in_step: int, heldout: int) -> LoopConfig:
    """The loop with a number of steps between evaluations, where it has none.

    `in_step` rows (or pairs) are learned from in a step, `heldout` ones judged in an evaluation, for about a
    third of what learning from as many takes.
    """
    if loop.evaluate_every is not None or loop.steps is None:
        return loop
    affordable = int(SHARE * 3 * loop.steps * in_step / max(heldout, 1))
    times = min(max(affordable, 1), MOST)
    return replace(loop, evaluate_every=max(1, -(-loop.steps // times)))


@torch.no_grad()
def evaluate(
    model: nn.Module, objective: Objective, batches: Iterable[Batch | DeviceBatch], device: torch.device
) -> dict[str, float]:
    """Each data term's mean over all batches, and under `loss` their sum weighted by coefficient.

    The processes of a job share the batches. Raises TrainingError when nothing in them counts.
    """
    names = [name for name, term in objective.terms.items() if term.data]
    sums, counts = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
    rank, world = place()
    training = model.training
    model.eval()
    try:
        for turn in _turns(batches, world):
            # Sharded weights are gathered by all processes together: one without a batch computes along.
            moved = on_device(turn[rank] if rank < len(turn) else turn[0], device)
            values = objective.loss(model, moved)
            here = objective.counts(moved)
            for name in names if rank < len(turn) else ():
                counts[name] += here.get(name, 0)
                sums[name] += float(values[name]) if name in values else 0.0
    finally:
        release(model)
        model.train(training)
    totals = sum_over_ranks([*sums.values(), *map(float, counts.values())])
    if not any(totals[len(names) :]):
        raise TrainingError("nothing in the validation batches counts for the loss: give more held-out text")
    means = {
        name: total / max(count, 1)
        for name, total, count in zip(names, totals, totals[len(names) :], strict=False)
    }
    return {"loss": sum(objective.terms[name].coefficient * mean for name, mean in means.items())} | means


def _turns(batches: Iterable[Batch | DeviceBatch], size: int) -> Iterator[list[Batch | DeviceBatch]]:
    """The batches in groups of `size`; the last may be smaller."""
    rest = iter(batches)
    while turn := list(islice(rest, size)):
        yield turn
