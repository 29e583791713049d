"""Two processes that share out the experts learn what one learns."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import experts_together
import pytest
import torch
from safetensors.torch import load_file
from training_parts import corpus, model

from shizuku.checkpoints.directory import load_model
from shizuku.data.shards import ShardSet
from shizuku.errors import ConfigError
from shizuku.training.sharding import spread

TORCHRUN = [
    sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
    "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1",
]  # fmt: skip
TIMED = ("seconds", "tokens_per_second", "flops_per_second")
slow = pytest.mark.slow
on_gloo = pytest.mark.skipif(sys.platform == "win32", reason="torchrun on gloo is for Linux and macOS")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with what one process did, and what two did."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("experts")
    _, shards = corpus(place / "shards")
    experts_together.gradients(shards, place / "gradients-alone.safetensors", "data")
    experts_together.go(shards, place / "alone", experts_together.CONFIG)
    done = subprocess.run(
        [*TORCHRUN, experts_together.__file__, str(place)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    alone = replace(experts_together.CONFIG, resume=True)
    experts_together.go(ShardSet.open(place / "shards"), place / "gone-on-alone", alone)
    yield place
    torch.set_num_threads(threads)


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@slow
@on_gloo
@pytest.mark.parametrize("parallel", ["data", "fsdp", "experts"])
def test_values_and_gradients_are_those_of_one_process(runs: Path, parallel: str) -> None:
    alone = load_file(runs / "gradients-alone.safetensors")
    other = load_file(runs / f"gradients-{parallel}.safetensors")
    if parallel == "experts":
        missing = alone.keys() - other.keys()
        assert missing and all(".experts.2." in name or ".experts.3." in name for name in missing)
        other |= load_file(runs / f"gradients-{parallel}.safetensors.1")
    assert alone.keys() == other.keys() and sum(".experts." in name for name in alone) == 24
    for name, tensor in alone.items():
        scale = float(tensor.abs().max()) or 1.0
        torch.testing.assert_close(other[name] / scale, tensor / scale, rtol=0, atol=1e-5, msg=name)


@slow
@on_gloo
def test_a_run_is_that_of_one_process_and_can_be_resumed(runs: Path) -> None:
    for one, two, three in zip(
        log(runs / "alone"), log(runs / "experts"), log(runs / "resumed"), strict=True
    ):
        assert {**two, **dict.fromkeys(TIMED)} == {**three, **dict.fromkeys(TIMED)}
        for key in one.keys() - set(TIMED):
            assert two[key] == pytest.approx(one[key], rel=1e-4), (key, one["step"])
        assert {"term/balance", "term/router_z", "experts/load"} <= one.keys()
    first, second, third = (load_model(runs / run).state_dict() for run in ("alone", "experts", "resumed"))
    assert float(first["blocks.1.feedforward.router.choice_bias"].abs().max()) > 0.04
    for name in first:
        torch.testing.assert_close(second[name], first[name], rtol=1e-3, atol=1e-4)
        assert torch.equal(second[name], third[name]), name
    gone_on = load_model(runs / "gone-on-alone").state_dict()
    for name in first:
        torch.testing.assert_close(gone_on[name], first[name], rtol=1e-3, atol=1e-4)


def test_a_model_without_experts_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--loop\.parallel experts: the model has no experts"):
        spread(model(), "experts")
