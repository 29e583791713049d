"""How fast this machine trains a model, measured by a few real steps."""

import copy
import statistics
import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from shizuku.models.architectures import architecture_of, build
from shizuku.training.batches import BatchSource, DeviceBatch, TensorBatch, on_device, peek
from shizuku.training.config import LoopConfig, OptimizerConfig, PrecisionName
from shizuku.training.distribution import mean_over_ranks, place
from shizuku.training.objectives import NextToken, Objective
from shizuku.training.optimizers import Optimizers
from shizuku.training.resume import Progress
from shizuku.training.schedules import at_peak
from shizuku.training.sharding import Parallel, spread
from shizuku.training.step import accumulate_gradients, clip_gradients

DEFAULT_STEPS = 500
"""Of a run for which neither steps nor seconds are given."""
SPARE = 0.97
"""Share of `max_seconds` that steps are planned for."""
PEEKED = 8
"""Steps whose batches are looked at: some take longer, as they hold more documents or longer sentences."""
SLOWEST = 0.2
"""Share of the measured steps that is left out, as another program may take the processor for one."""


def planned_steps(model: nn.Module, objective: Objective, source: BatchSource, config: LoopConfig) -> int:
    """How many steps the config asks for; where it gives seconds, as many as fit, measured now."""
    if config.max_seconds is None:
        return config.steps or DEFAULT_STEPS
    device = next(model.parameters()).device
    batches = [on_device(batch, device) for batch in peek(source, PEEKED * config.accumulate)]
    each = seconds_per_step(
        model, objective, batches, config.optimizer, config.parallel,
        precision=config.precision, accumulate=config.accumulate,
    )  # fmt: skip
    return max(1, int(SPARE * config.max_seconds / each))


def replanned_steps(config: LoopConfig, progress: Progress) -> int:
    """How many steps a run for a time comes to by its own pace so far.

    A few steps before the first one say little of a machine that others use too. Where the learning rate
    already depends on the number of steps (before and after its peak), that stays as it is; a run that has
    used up its time at the peak lets the rate fall from here on.
    """
    step, schedule = progress.step, config.schedule
    if config.max_seconds is None or not step or not at_peak(schedule, step, progress.steps):
        return progress.steps
    each = mean_over_ranks(progress.seconds) / step
    plans = range(step + 1, progress.steps + 1)
    shortest = plans[bisect_left(plans, True, key=lambda steps: at_peak(schedule, step, steps))]
    steps = max(int(SPARE * config.max_seconds / each), shortest)
    return steps if at_peak(schedule, step, steps) else progress.steps


def measure_speed(
    config: Any,
    batch: int,
    context: int,
    *,
    optimizer: OptimizerConfig | None = None,
    seconds: float = 2.0,
    documents: int = 4,
    precision: PrecisionName = "float32",
    parallel: Parallel = "data",
) -> float:
    """Tokens a second of training steps on `batch` rows of `context` random tokens, optimizer included.

    Each row holds `documents` documents (1: attention without a mask). Takes about `seconds`, at least two
    steps. In a job every process takes `batch` rows, and the speed is that of all.
    """
    model = build(config)
    architecture_of(config).initialise(model, 0)
    spread(model, parallel)
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(config.vocab_size, (batch, context), generator=generator)
    segments_BT = positions_BT = None
    if documents > 1:
        place_T = torch.arange(context)
        length = -(-context // documents)
        segments_BT = (place_T // length).expand(batch, context).contiguous()
        positions_BT = (place_T % length).expand(batch, context).contiguous()
    made = TensorBatch(
        ids_BT, ids_BT.roll(-1, 1), torch.ones_like(ids_BT, dtype=torch.bool), segments_BT, positions_BT
    )
    chosen = optimizer or OptimizerConfig()
    seconds = _seconds(model, NextToken(), [made], chosen, seconds, precision)
    return batch * context * place()[1] / seconds


def seconds_per_step(
    model: nn.Module,
    objective: Objective,
    batches: Sequence[DeviceBatch],
    optimizer: OptimizerConfig,
    parallel: Parallel = "data",
    *,
    seconds: float = 3.0,
    precision: PrecisionName = "float32",
    accumulate: int | None = None,
) -> float:
    """Seconds that one step takes, measured on a copy of the model that is not spread yet.

    A step takes `accumulate` of the `batches`, one after another and over again; without it all. The
    processes of a job measure together and get the same figure.
    """
    copied = copy.deepcopy(model)
    spread(copied, parallel)
    return _seconds(copied, objective, batches, optimizer, seconds, precision, accumulate)


def _seconds(
    model: nn.Module,
    objective: Objective,
    batches: Sequence[DeviceBatch],
    optimizer: OptimizerConfig,
    seconds: float,
    precision: PrecisionName,
    accumulate: int | None = None,
) -> float:
    """The mean of the steps, the first and the slowest left out."""
    each = accumulate or len(batches)
    optimizers = Optimizers(model, optimizer)
    model.train()
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < 3 or mean_over_ranks(time.perf_counter() - start) < seconds:
        before = time.perf_counter()
        begin = len(times) * each % len(batches)
        result = accumulate_gradients(model, objective, batches[begin : begin + each], precision=precision)
        clip_gradients(model, result.grad_norm, 1.0)
        optimizers.step()
        optimizers.zero_grad()
        times.append(mean_over_ranks(time.perf_counter() - before))
        if len(times) == 2 and times[1] > seconds:
            break
    warm = sorted(times[1:])
    return statistics.fmean(warm[: max(1, round(len(warm) * (1 - SLOWEST)))])
