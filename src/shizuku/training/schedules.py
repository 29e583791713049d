"""Learning rates over a run: pure functions of the step, so that nothing has to be saved."""

import math

from shizuku.training.config import ScheduleConfig


def rate_factor(schedule: ScheduleConfig, step: int, steps: int) -> float:
    """The share (0 to 1) of the peak learning rate for `step` (from 0) of `steps`.

    Warm-up is never zero in its first step; wsd is after Hu et al. 2024 (MiniCPM), cosine after Loshchilov
    and Hutter 2017 without restarts, inverse-root after Vaswani et al. 2017.
    """
    warmup = round(schedule.warmup * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule.kind == "constant":
        return 1.0
    if schedule.kind == "inverse-root":
        return math.sqrt((warmup + 1) / (step + 1))
    if schedule.kind == "cosine":
        done = min((step - warmup) / max(steps - warmup, 1), 1.0)
        return schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(math.pi * done))
    decay = max(round(schedule.decay * steps), 1)
    left = min(max(steps - step, 0) / decay, 1.0)
    return schedule.final + (1 - schedule.final) * left


def at_peak(schedule: ScheduleConfig, step: int, *plans: int) -> bool:
    """Whether the rate is at its peak at `step` by every plan, so that one may take another's place."""
    return all(step < steps and rate_factor(schedule, step, steps) == 1.0 for steps in plans)
