"""What each of the processes does that test_distribution.py starts with torchrun: many runs in one start."""

import os
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from training_parts import CONTEXT, model

from shizuku.data.packing import PackedBatches, ValidationBatches
from shizuku.data.shards import ShardSet
from shizuku.errors import CheckpointError
from shizuku.models.decoder import Decoder
from shizuku.training.batches import on_device
from shizuku.training.config import LoopConfig
from shizuku.training.distribution import job, place
from shizuku.training.loop import train
from shizuku.training.objectives import NextToken
from shizuku.training.result import TrainResult
from shizuku.training.sharding import spread, whole
from shizuku.training.step import accumulate_gradients

CONFIG = LoopConfig(
    steps=6, accumulate=2, log_every=1, evaluate_every=3, ema=0.9, keep_log_spaced=True, save_minutes=None
)
BROKEN_OFF = 3
"""The step after which a run is interrupted, where it is to be resumed."""


def odd_model() -> Decoder:
    """Two matrices for the tokens, rows that two processes can't halve, and no weight that is special."""
    made = model(vocab_size=321, tie_embeddings=False, ffn_width=37)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return made


def batches(shards: ShardSet) -> PackedBatches:
    """This process's rows."""
    rank, world = place()
    return PackedBatches(shards, context=CONTEXT, batch_size=4, seed=5, rank=rank, world=world)


def go(shards: ShardSet, out: Path, config: LoopConfig = CONFIG, **more: Any) -> TrainResult:
    """A run of all processes."""
    # Three batches: the shares of two processes differ.
    validation = ValidationBatches(shards, context=CONTEXT, batch_size=8)
    validation_batches = list(validation)[:3]
    made = odd_model()
    return train(
        made, NextToken(z_loss=1e-3), batches(shards), config, out=out, validation=validation_batches, **more
    )


def interrupted(shards: ShardSet, out: Path, config: LoopConfig = CONFIG) -> None:
    """A run that a signal to the last process stops."""
    rank, world = place()

    def interrupt(record: Mapping[str, Any]) -> None:
        if record["step"] == BROKEN_OFF and rank == world - 1:
            os.kill(os.getpid(), signal.SIGINT)

    try:
        go(shards, out, config, on_log=interrupt)
    except KeyboardInterrupt:
        return
    raise AssertionError("the signal did not stop the run")


def out_of_room(shards: ShardSet, out: Path, config: LoopConfig) -> None:
    """A run whose last process can't write its part of the checkpoint."""
    rank, world = place()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if rank == world - 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        go(shards, out, config)
    except CheckpointError as error:
        assert "process 1: File too large" in str(error) and "is still there" in str(error), error
        return
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    raise AssertionError("the save did not fail")


def gradients(shards: ShardSet, file: Path, parallel: Any) -> None:
    """Write the whole gradient of one step."""
    made: nn.Module = odd_model()
    spread(made, parallel)
    made.train()
    source = batches(shards)
    taken = [on_device(source.next(), torch.device("cpu")) for _ in range(2)]
    accumulate_gradients(made, NextToken(z_loss=1e-3), taken)
    found = {
        name: whole(parameter.grad)
        for name, parameter in made.named_parameters()
        if parameter.grad is not None
    }
    if place()[0] == 0:
        save_file(found, file)


def main(directory: Path) -> None:
    """All runs; `directory` has the shards, and a run of one process that was broken off."""
    torch.set_num_threads(1)
    shards = ShardSet.open(directory / "shards")
    data, fsdp = CONFIG, replace(CONFIG, parallel="fsdp")
    again = replace(fsdp, resume=True)
    gradients(shards, directory / "gradients-data.safetensors", "data")
    gradients(shards, directory / "gradients-fsdp.safetensors", "fsdp")
    go(shards, directory / "data", data)
    go(shards, directory / "fsdp", fsdp)
    interrupted(shards, directory / "fsdp-fsdp", fsdp)
    go(shards, directory / "fsdp-fsdp", again)
    interrupted(shards, directory / "data-fsdp", data)
    go(shards, directory / "data-fsdp", again)
    interrupted(shards, directory / "fsdp-alone", fsdp)
    out_of_room(shards, directory / "fsdp-alone", again)
    go(shards, directory / "alone-fsdp", again)


if __name__ == "__main__":
    with job():
        main(Path(sys.argv[1]))
