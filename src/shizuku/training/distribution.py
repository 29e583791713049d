"""The processes of a `torchrun` job: how they meet, agree, wait and end. One process alone is a job too."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from shizuku.errors import ConfigError, ShizukuError, TrainingError
from shizuku.progress import hushed

T = TypeVar("T")

STEP_PATIENCE = timedelta(minutes=10)
"""How long a process waits for another inside a step. One that has died is noticed at once; this is for one
that hangs, or that the network has lost.
"""
PATIENCE = timedelta(days=1)
"""How long processes wait while one of them reads and tokenises the text, or writes a checkpoint."""
BUCKET = 1 << 23
"""Numbers of gradients summed at once: 32 MB, so that no second copy of all of them is made."""
_waiting: list[Any] = []
"""The group with more patience, while a job is joined."""


def place() -> tuple[int, int]:
    """This process's rank and how many there are."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def neighbours() -> int:
    """How many processes of the job run on this machine, this one included."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if place()[1] > 1 else 1


def program() -> str:
    """What the command line of this job began with, for telling how to go on."""
    here = neighbours()
    return "shizuku" if here == 1 else f"torchrun --nproc-per-node {here} -m shizuku"


@contextmanager
def job() -> Iterator[None]:
    """Be one of the processes that `torchrun` has started, for the `with` block; alone, nothing happens.

    Only process 0 shows progress in it. ConfigError if the environment is half that of a job, TrainingError
    if another process ends or is lost meanwhile.
    """
    if not _launched():
        yield
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ConfigError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']} says that this is one process of several, but "
            f"{', '.join(missing)} is not set: start it with torchrun, or unset WORLD_SIZE"
        )
    from torch.distributed.rendezvous import rendezvous

    if os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:
        # All on one machine: nothing of it needs to be seen, or resolved, from outside.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        store, rank, world = next(rendezvous("env://", timeout=STEP_PATIENCE))
        # torchrun's store outlives a restart (--max-restarts): none should meet those of the time before.
        store = dist.PrefixStore(f"shizuku/{_attempt()}", store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=STEP_PATIENCE)
        _waiting.append(dist.new_group(backend="gloo", timeout=PATIENCE))
        with hushed(rank > 0):
            yield
    except RuntimeError as error:
        if isinstance(error, ShizukuError) or not _of_the_network(error):
            raise
        reason = str(error).partition("\n")[0].partition("] ")[2].partition(". ")[0] or str(error)
        raise TrainingError(
            f"another process of this job has ended or can't be reached ({reason}); the last checkpoint is "
            "whole: go on with the same command and --resume"
        ) from error
    # After an error it is left to the end of the process, as the others may not come to take leave.
    _waiting.clear()
    dist.destroy_process_group()


def _launched() -> bool:
    return os.environ.get("WORLD_SIZE", "1") != "1"


def _attempt() -> str:
    """How often torchrun has started the job again."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")


def _of_the_network(error: RuntimeError) -> bool:
    """gloo raises plain RuntimeErrors that begin with the place in its sources."""
    return isinstance(error, dist.DistError) or "gloo/" in str(error)


def first_to_tell() -> bool:
    """Whether this process is the first of its job with an error to report: one message, not one each.

    What the others meet is mostly that the first has gone. They agree through torchrun's own store, which
    needs no other process to be alive.
    """
    if not _launched():
        return True
    try:
        store = dist.TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=False,
            wait_for_workers=False,
            timeout=timedelta(seconds=5),
        )
        return store.add(f"shizuku/told/{_attempt()}", 1) == 1
    except (KeyError, ValueError, RuntimeError):
        return True  # nobody to agree with: said twice is better than not at all


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


def any_of_ranks(*here: bool) -> list[bool]:
    """For each question, whether the answer is yes in any process."""
    return [total > 0 for total in sum_over_ranks(map(float, here))]


def mean_over_ranks(value: float) -> float:
    """The mean over all processes: the same in each, where clocks are not."""
    return sum_over_ranks([value])[0] / place()[1]


def sum_gradients(gradients: list[Tensor]) -> None:
    """Sum gradients over all processes in place: losses are divided by global counts, so sums are right.

    Those of sharded parameters have been summed by the backward pass.
    """
    if place()[1] == 1:
        return
    bucket: list[Tensor] = []
    for gradient in gradients:
        if hasattr(gradient, "to_local"):
            continue
        bucket.append(gradient)
        if sum(one.numel() for one in bucket) >= BUCKET:
            _sum_bucket(bucket)
            bucket = []
    if bucket:
        _sum_bucket(bucket)


def _sum_bucket(bucket: list[Tensor]) -> None:
    flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
    dist.all_reduce(flat)
    for gradient, summed in zip(bucket, flat.split([one.numel() for one in bucket]), strict=True):
        gradient.copy_(summed.view_as(gradient))


def wait_for_all() -> None:
    """Return when every process has come here, be it hours later."""
    if place()[1] > 1:
        dist.barrier(group=_waiting[0] if _waiting else None)


def first_alone(work: Callable[[], T]) -> T:
    """Let process 0 do it, and then each of the others, who find what it has written."""
    rank, _ = place()
    if rank > 0:
        wait_for_all()
        return work()
    try:
        return work()
    finally:
        wait_for_all()


def as_first_says(value: T) -> T:
    """What process 0 gave, in every process."""
    if place()[1] == 1:
        return value
    told = [value]
    dist.broadcast_object_list(told, src=0, group=_waiting[0] if _waiting else None)
    return told[0]
