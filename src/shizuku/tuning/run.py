"""What all runs of this room do around the one loop: begin, know how long to go on, foretell in a dry run."""

import math
import os
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import nn

from shizuku.errors import ConfigError
from shizuku.quantization.surgery import quantized_layers
from shizuku.report.plots import check_plots
from shizuku.training.batches import BatchSource, on_device, peek
from shizuku.training.config import LoopConfig
from shizuku.training.evaluation import judged_every
from shizuku.training.memory import estimate_memory
from shizuku.training.objectives import Objective
from shizuku.training.speed import seconds_per_step
from shizuku.tuning.rows import Seen


class CountedSource(BatchSource, Protocol):
    """Batches that say what they hold."""

    def seen(self, count: int) -> Seen:
        """What the first `count` of them hold, counted as a batch size counts."""
        ...


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would be."""

    steps: int
    """Optimizer steps."""
    seen: Seen
    """What would go through the model."""
    seconds: float
    """How long the steps would take, as measured by a few."""
    memory_bytes: int
    """Memory at the peak, estimated."""
    sizes: dict[str, int]
    """Parameters of the model, and those of them that move."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **self.sizes,
            "memory_bytes": self.memory_bytes,
            "steps": self.steps,
            "tokens": self.seen.tokens,
            "padding": self.seen.padding,
            "seconds": self.seconds,
        }


def begin(config: Any, *, together: bool = False) -> None:
    """Take the threads that the config gives.

    DependencyError without what its report needs; ConfigError in a `torchrun` job, and for what is shared
    out among processes, unless `together` says that this verb knows about it.
    """
    if not together and (config.loop.parallel != "data" or int(os.environ.get("WORLD_SIZE", "1")) > 1):
        raise ConfigError(
            "this verb runs in one process: start it without torchrun, and leave --loop.parallel at data"
        )
    if config.report:
        check_plots()
    if config.threads is not None:
        torch.set_num_threads(config.threads)


def loop_of(config: Any, *, items: float, heldout: int) -> LoopConfig:
    """The config's loop, with what follows from the data, counted as a batch size counts it (rows, pairs).

    So many `items` are gone through where neither steps nor a time is given. `heldout` ones are judged, as
    often as costs little beside training, and where the config keeps the best weights, by them. ConfigError
    for patience without any.
    """
    loop: LoopConfig = config.loop
    in_step = config.batch_size * loop.accumulate
    if loop.steps is None and loop.max_seconds is None:
        loop = replace(loop, steps=max(1, math.ceil(items / in_step)))
    if not heldout:
        if loop.patience is not None:
            raise ConfigError("--loop.patience needs held-out data: raise --validation")
        return loop
    if config.keep == "best" and loop.ema is None and loop.parallel == "data":
        loop = replace(loop, keep_best=True)
    return judged_every(loop, in_step=in_step, heldout=heldout)


def forecast(
    model: nn.Module, objective: Objective, source: CountedSource, loop: LoopConfig, *, batch_size: int
) -> Forecast:
    """What `--dry-run` says of a run: a few steps are measured on a copy of the model."""
    batches = [on_device(batch, torch.device("cpu")) for batch in peek(source, loop.accumulate)]
    each = seconds_per_step(
        model, objective, batches, loop.optimizer, loop.parallel, precision=loop.precision
    )
    steps = loop.steps or max(1, int((loop.max_seconds or 0) / each))
    return Forecast(
        steps=steps,
        seen=source.seen(steps * batch_size * loop.accumulate),
        seconds=steps * each,
        memory_bytes=estimate_memory(model, loop, *batches[0].shape).total,
        sizes=sizes(model),
    )


def sizes(model: nn.Module) -> dict[str, int]:
    """How many numbers a model has, packed ones counted, and how many of them training moves."""
    packed = sum(math.prod(layer.layout.shape) for layer in quantized_layers(model).values())
    return {
        "parameters": packed + sum(one.numel() for one in model.parameters()),
        "trained_parameters": sum(one.numel() for one in model.parameters() if one.requires_grad),
    }
