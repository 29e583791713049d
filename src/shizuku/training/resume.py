"""What a run needs besides the weights to go on bit for bit: `<checkpoint>/state/`, safetensors and JSON.

One process writes `optimizer.safetensors`; several write `optimizer/`, one file each with what it has,
through `torch.distributed.checkpoint`. Both are read the same way by any number of processes.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from shizuku.checkpoints.kinds import ADAPTER_CONFIG, ADAPTER_WEIGHTS, RUN_FILE
from shizuku.checkpoints.locking import alone_in
from shizuku.checkpoints.replacing import check_replaceable
from shizuku.config import differences, from_dict, to_dict
from shizuku.errors import CheckpointError, ConfigError, TrainingError
from shizuku.models.decoder_config import DecoderConfig
from shizuku.training.config import MAY_CHANGE, LoopConfig
from shizuku.training.distribution import as_first_says, place
from shizuku.training.expert_parallel import is_elsewhere
from shizuku.training.schedules import at_peak

METRICS = "metrics.jsonl"
STATE = "state"
PROGRESS, OPTIMIZER, RANDOM = "loop.json", "optimizer.safetensors", "random.safetensors"
WEIGHTS = ("model.safetensors", ADAPTER_WEIGHTS)
SHARES = "optimizer"
"""Folder of the processes' files."""
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
    best: dict[str, Any] = field(default_factory=dict)
    """The lowest validation loss, its step, and the evaluations since; empty where none is kept."""


def write_state(
    directory: Path | None, progress: Progress, source: Mapping[str, Any], optimizer: dict[str, Tensor]
) -> None:
    """Write `directory`/state: progress, the source's state, the optimizer's tensors and the random state.

    All processes must call it; process 0 alone names the directory, which all of them must see. If one of
    them can't write, OSError in process 0 and CheckpointError in the others.
    """
    rank, world = place()
    state = Path(as_first_says(str(directory))) / STATE
    if rank == 0:
        _write_alone(state, progress, source, None if world > 1 else optimizer)
    if world > 1:
        _write_shares(state / SHARES, optimizer)


def _write_alone(
    state: Path, progress: Progress, source: Mapping[str, Any], optimizer: dict[str, Tensor] | None
) -> None:
    state.mkdir(exist_ok=True)
    record = {"format": FORMAT, "source": dict(source)}
    record |= {each.name: getattr(progress, each.name) for each in fields(progress)}
    (state / PROGRESS).write_text(json.dumps(record, indent=1), encoding="utf-8")
    random = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state()
    try:
        if optimizer is not None:
            save_file({name: tensor.contiguous() for name, tensor in optimizer.items()}, state / OPTIMIZER)
        save_file(random, state / RANDOM)
    except SafetensorError as error:
        raise OSError(f"{STATE}: {error}") from error  # a full disk, which the checkpoint's writer explains


def _write_shares(folder: Path, tensors: dict[str, Tensor]) -> None:
    from torch.distributed import checkpoint as dcp

    rank, _ = place()
    try:
        with _failing_as_os_error():
            writer = dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True)
            dcp.save(dict(tensors), storage_writer=writer)
    except OSError as error:
        if rank == 0:
            raise  # the checkpoint's writer explains it
        raise CheckpointError(
            f"the checkpoint could not be written: {error.strerror or error}. What was saved before is "
            "still there: make room, or choose another --out"
        ) from error


def read_tensors(directory: Path, model: nn.Module) -> dict[str, Tensor]:
    """The tensors that `write_state` wrote, laid over the processes as the model's parameters are now.

    All processes must call it. CheckpointError for files that are damaged.
    """
    from torch.distributed import checkpoint as dcp

    folder = directory / STATE
    folder = folder / SHARES if (folder / SHARES).is_dir() else folder
    parameters = dict(model.named_parameters())
    tensors: dict[str, Tensor] = {}
    try:
        with _failing_as_os_error():
            reader = dcp.HuggingFaceStorageReader(str(folder))
            for name, stored in reader.read_metadata().state_dict_metadata.items():
                if "/" not in name:
                    continue  # the random state, which stands beside the file of a single process
                assert isinstance(stored, dcp.metadata.TensorStorageMetadata), f"{name} is no tensor"
                shape, dtype = stored.size, stored.properties.dtype
                of = name.rpartition("/")[0]
                if is_elsewhere(model, of):
                    continue
                parameter = parameters.get(of)
                if parameter is not None and parameter.shape == shape:
                    tensors[name] = torch.zeros_like(parameter, dtype=dtype, requires_grad=False)
                else:
                    tensors[name] = torch.zeros(shape, dtype=dtype)
            with warnings.catch_warnings():
                warnings.filterwarnings(
                    "ignore", "torch.distributed is disabled"
                )  # one process is no mistake
                dcp.load(tensors, storage_reader=reader)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder}: damaged, the run can't go on from it ({error}); start anew with another --out"
        ) from error
    return tensors


@contextmanager
def _failing_as_os_error() -> Iterator[None]:
    """Raise the first process's reason in place of PyTorch's report on all, which is no Exception."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        yield
    except CheckpointException as error:
        rank, (cause, _) = min(error.failures.items())
        number, reason = (cause.errno, cause.strerror) if isinstance(cause, OSError) else (None, None)
        text = f"{STATE}: process {rank}: {reason or cause}"
        raise (OSError(text) if number is None else OSError(number, text)) from error


@dataclass(frozen=True, slots=True)
class Saved:
    """What `write_state` wrote, but for the tensors."""

    progress: Progress
    source: dict[str, Any]
    random: dict[str, Tensor]

    def restore_random(self) -> None:
        """Set torch's random generators to where they were."""
        torch.set_rng_state(self.random["cpu"])
        if "cuda" in self.random and torch.cuda.is_available():
            torch.cuda.set_rng_state(self.random["cuda"])


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keep `out` from other runs for a `with` block; ConfigError if one is at work there."""
    if place()[0] != 0:
        yield  # process 0 holds it for all
        return
    with alone_in(out) as ours:
        if not ours:
            raise ConfigError(
                f"--out {out}: another run is at work there: wait for it, or give another --out"
            )
        yield


def check_place(out: Path, *, resume: bool) -> None:
    """ConfigError or CheckpointError if `out` holds what a run may not replace, or can't go on with."""
    check_replaceable(out.resolve(), ("config.json", ADAPTER_CONFIG, METRICS))  # better now than afterwards
    found = [name for name in (*WEIGHTS, STATE, METRICS) if (out / name).exists()]
    if found and not resume:
        raise ConfigError(
            f"--out {out} holds a run already ({', '.join(found)}): go on with it (--resume), "
            "or give another --out"
        )
    if resume and set(WEIGHTS) & set(found) and not has_state(out):
        raise CheckpointError(
            f"--resume: {out} holds a model, but not the {STATE}/ that training needs to go on; "
            "give another --out"
        )


def has_state(directory: Path) -> bool:
    """Whether there is a run in `directory` to go on with."""
    return (directory / STATE / PROGRESS).is_file()


def read_state(directory: Path) -> Saved:
    """Read what `write_state` wrote, but for the tensors; CheckpointError names the file that is damaged or
    of another version.
    """
    state = directory / STATE
    file = state / PROGRESS
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if record.pop("format", None) != FORMAT:
            raise CheckpointError(
                f"{file}: written by another version of Shizuku; start anew with another --out"
            )
        source = record.pop("source")
        progress = Progress(**record)
        file = state / RANDOM
        return Saved(progress, source, load_file(file))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{file}: damaged, the run can't go on from it ({error}); start anew with another --out"
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
    # Two kinds of model have so many settings apart that none of them would say so.
    kinds = [(part.task.get("model") or {}).keys() for part in (saved, now)]
    if len(kinds[0] ^ kinds[1]) > len(kinds[0] & kinds[1]):
        raise ConfigError(
            "--resume: this run was begun with another kind of model (--architecture). Give the same one, or "
            "start a new run with another --out"
        )
    changed: list[str] = []
    for key, value in now.config.items():
        if key not in MAY_CHANGE | {"steps"}:
            changed += differences(f"loop.{key}", before[key], value)
    task = {**saved.task, "model": _completed(saved.task.get("model", {}))}
    for key, value in now.task.items():
        changed += differences(key, task.get(key), value)
    if changed:
        raise ConfigError(
            "--resume: this run was begun with other settings: " + "; ".join(changed) + ". "
            "Give the same ones, or start a new run with another --out"
        )
    if now.steps != saved.steps and not at_peak(config.schedule, saved.step, saved.steps, now.steps):
        raise ConfigError(
            f"--steps {now.steps}: the run was planned for {saved.steps} and its learning rate at step "
            f"{saved.step} depends on that; give the same number (which --epochs and --batch-size decide "
            "where --steps is not given), or start anew with another --out"
        )


def check_same_start(out: Path, run: Mapping[str, Any]) -> None:
    """ConfigError if the run in `out` began with another model than `run`, a `run_record`, names."""
    try:
        began = json.loads((out / RUN_FILE).read_text(encoding="utf-8")).get("parent")
    except (OSError, ValueError, AttributeError):
        return  # nothing is known of it
    named = run.get("parent")
    if began and named and began["digest"] != named["digest"]:
        raise ConfigError(
            f"--resume: the run in {out} began with {began['name']} ({began['digest'][:12]}), not with "
            f"{named['name']} ({named['digest'][:12]}): give that model, or start anew with another --out"
        )


def _completed(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """A saved model's settings with those that came later, at their defaults; as they are where unknown."""
    try:
        completed: Mapping[str, Any] = json.loads(json.dumps(to_dict(from_dict(DecoderConfig, model))))
    except ConfigError:
        return model
    return completed
