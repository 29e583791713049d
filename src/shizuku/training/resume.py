"""What a run needs besides the weights to go on bit for bit: `<checkpoint>/state/`, safetensors and JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from shizuku.checkpoints.replacing import check_replaceable
from shizuku.config import to_dict
from shizuku.errors import CheckpointError, ConfigError, TrainingError
from shizuku.training.config import MAY_CHANGE, LoopConfig, ScheduleConfig
from shizuku.training.schedules import rate_factor

METRICS = "metrics.jsonl"
STATE = "state"
PROGRESS, OPTIMIZER, RANDOM = "loop.json", "optimizer.safetensors", "random.safetensors"
FORMAT = 1


@dataclass(slots=True)
class Progress:
    """How far a run is, and what it was begun with."""

    config: dict[str, Any]
    """The resolved LoopConfig."""
    task: dict[str, Any]
    """What else decides the result: the model's config and the objective's terms."""
    steps: int
    """Optimizer steps of the whole run."""
    step: int = 0
    """Steps done."""
    tokens: int = 0
    """Tokens that went through the model."""
    seconds: float = 0.0
    """Time in steps, without evaluation and saving, over all sittings."""
    flops: float = 0.0
    """Operations of the matrix products so far, over all processes."""
    scaler: dict[str, Any] = field(default_factory=dict)
    """State of the LossScaler; empty where there is none."""


def write_state(
    directory: Path, progress: Progress, source: Mapping[str, Any], optimizer: dict[str, Tensor]
) -> None:
    """Write `directory`/state: progress, the source's state, the optimizer's tensors and the random state."""
    state = directory / STATE
    state.mkdir(exist_ok=True)
    record = {"format": FORMAT, "source": dict(source)}
    record |= {each.name: getattr(progress, each.name) for each in fields(progress)}
    (state / PROGRESS).write_text(json.dumps(record, indent=1), encoding="utf-8")
    random = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state()
    try:
        save_file({name: tensor.contiguous() for name, tensor in optimizer.items()}, state / OPTIMIZER)
        save_file(random, state / RANDOM)
    except SafetensorError as error:
        raise OSError(f"{STATE}: {error}") from error  # a full disk, which the checkpoint's writer explains


@dataclass(frozen=True, slots=True)
class Saved:
    """What `write_state` wrote."""

    progress: Progress
    source: dict[str, Any]
    optimizer: dict[str, Tensor]
    random: dict[str, Tensor]

    def restore_random(self) -> None:
        """Set torch's random generators to where they were."""
        torch.set_rng_state(self.random["cpu"])
        if "cuda" in self.random and torch.cuda.is_available():
            torch.cuda.set_rng_state(self.random["cuda"])


def check_place(out: Path, *, resume: bool) -> None:
    """ConfigError or CheckpointError if `out` holds what a run may not replace, or can't go on with."""
    check_replaceable(out.resolve(), ("config.json", METRICS))  # better now than after the training
    found = [name for name in ("model.safetensors", STATE, METRICS) if (out / name).exists()]
    if found and not resume:
        raise ConfigError(
            f"--out {out} holds a run already ({', '.join(found)}): go on with it (--resume), "
            "or give another --out"
        )
    if resume and "model.safetensors" in found and not has_state(out):
        raise CheckpointError(
            f"--resume: {out} holds a model, but not the {STATE}/ that training needs to go on; "
            "give another --out"
        )


def has_state(directory: Path) -> bool:
    """Whether there is a run in `directory` to go on with."""
    return (directory / STATE / PROGRESS).is_file()


def read_state(directory: Path) -> Saved:
    """Read what `write_state` wrote; CheckpointError names the file that is damaged or of another version."""
    state = directory / STATE
    place = state / PROGRESS
    try:
        record = json.loads(place.read_text(encoding="utf-8"))
        if record.pop("format", None) != FORMAT:
            raise CheckpointError(
                f"{place}: written by another version of Shizuku; start anew with another --out"
            )
        source = record.pop("source")
        progress = Progress(**record)
        place = state / OPTIMIZER
        optimizer = load_file(place)
        place = state / RANDOM
        return Saved(progress, source, optimizer, load_file(place))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{place}: damaged, the run can't go on from it ({error}); start anew with another --out"
        ) from error


def weights_as(what: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that a saved state keeps beside the model's, by `<parameter>/<what>`."""
    return {f"{name}/{what}": tensor.detach() for name, tensor in weights.items()}


@torch.no_grad()
def take_weights(
    what: str, saved: Mapping[str, Tensor], into: Mapping[str, Tensor], *, needed: bool = True
) -> dict[str, Tensor]:
    """Copy what `weights_as` gave out of `saved` into tensors of the same names; returns the rest of `saved`.

    TrainingError if it is `needed` and not there.
    """
    rest = dict(saved)
    for name, tensor in into.items():
        kept = rest.pop(f"{name}/{what}", None)
        if kept is not None:
            tensor.copy_(kept)
        elif needed:
            raise TrainingError(f"the saved state has no weights of {name}: start anew with another --out")
    return rest


def check_same_run(saved: Progress, now: Progress, config: LoopConfig) -> None:
    """ConfigError if a setting that decides the result differs between the saved run and this one.

    The number of steps may differ while the learning rate stands at its peak under both plans.
    """
    # A setting that the saved run does not know came later; its default is how things were before.
    before = json.loads(json.dumps(to_dict(LoopConfig()))) | saved.config
    changed = [
        f"loop.{key} was {before[key]!r}, is {value!r}"
        for key, value in now.config.items()
        if key not in MAY_CHANGE | {"steps"} and before[key] != value
    ]
    changed += [
        f"{key} was {saved.task.get(key)!r}, is {value!r}"
        for key, value in now.task.items()
        if saved.task.get(key) != value
    ]
    if changed:
        raise ConfigError(
            "--resume: this run was begun with other settings: " + "; ".join(changed) + ". "
            "Give the same ones, or start a new run with another --out"
        )
    if now.steps != saved.steps and not _same_rate(config.schedule, saved.step, saved.steps, now.steps):
        raise ConfigError(
            f"--steps {now.steps}: the run was planned for {saved.steps} and its learning rate "
            f"at step {saved.step} depends on that; give the same number, or start anew with another --out"
        )


def _same_rate(schedule: ScheduleConfig, step: int, *plans: int) -> bool:
    return all(step < steps and rate_factor(schedule, step, steps) == 1.0 for steps in plans)
