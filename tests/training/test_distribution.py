"""Two processes learn what one learns."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from shizuku.checkpoints.directory import load_model
from shizuku.data.packing import PackedBatches, ValidationBatches
from shizuku.data.shards import ShardSet
from shizuku.training.config import LoopConfig
from shizuku.training.loop import TrainResult, train
from shizuku.training.objectives import NextToken

CONFIG = LoopConfig(steps=6, accumulate=2, log_every=1, evaluate_every=3)


def go(shards: ShardSet, out: Path, rank: int = 0, world: int = 1) -> TrainResult:
    from training_parts import CONTEXT, model

    source = PackedBatches(shards, context=CONTEXT, batch_size=4, seed=5, rank=rank, world=world)
    validation = ValidationBatches(shards, context=CONTEXT, batch_size=8)
    return train(model(), NextToken(z_loss=1e-3), source, CONFIG, out=out, validation=validation)


def one_of_two(rank: int, shards: str, out: str) -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    meeting = f"file://{out}.meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    try:
        go(ShardSet.open(shards), Path(out), rank, 2)
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "darwin", reason="gloo wants another interface name there")
def test_two_processes_equal_one(tmp_path: Path) -> None:
    from training_parts import corpus

    _, shards = corpus(tmp_path / "shards")
    alone = go(shards, tmp_path / "alone")
    mp.spawn(one_of_two, (str(shards.directory), str(tmp_path / "both")), nprocs=2)
    logs = [
        [read_line(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("alone", "both")
    ]
    for one, two in zip(*logs, strict=True):
        assert two["tokens"] == one["tokens"]
        for key in ("loss", "grad_norm", "term/z"):
            assert two[key] == pytest.approx(one[key], rel=1e-5), key
    assert logs[1][-1]["validation_loss"] == pytest.approx(alone.validation_loss, rel=1e-5)
    first, second = (load_model(tmp_path / name).state_dict() for name in ("alone", "both"))
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-5)


def read_line(line: str) -> dict[str, float]:
    record: dict[str, float] = json.loads(line)
    return record
