"""Two processes learn what one learns, and each goes on where the other stopped."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import together
import torch
from safetensors.torch import load_file
from training_parts import corpus

from shizuku.checkpoints.directory import check_state, load_model, load_run
from shizuku.data.shards import ShardSet

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="torchrun on gloo is for Linux and macOS"),
]
TORCHRUN = [
    sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
    "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1",
]  # fmt: skip
TIMED = ("seconds", "tokens_per_second", "flops_per_second")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the runs of one process (`alone`), and of two by what they were and are resumed as."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("runs")
    _, shards = corpus(place / "shards")
    together.gradients(shards, place / "gradients-alone.safetensors", "data")
    together.go(shards, place / "alone")
    together.interrupted(shards, place / "alone-fsdp")
    done = subprocess.run(
        [*TORCHRUN, together.__file__, str(place)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # One process goes on from what two have left, the second of which could not write at the end.
    assert load_run(place / "fsdp-alone")["metrics"]["step"] == together.BROKEN_OFF
    together.go(ShardSet.open(place / "shards"), place / "fsdp-alone", replace(together.CONFIG, resume=True))
    yield place
    torch.set_num_threads(threads)


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["data", "fsdp", "fsdp-fsdp", "data-fsdp", "fsdp-alone", "alone-fsdp"])
def test_the_log_and_the_weights_are_those_of_one_process(runs: Path, name: str) -> None:
    alone, other = log(runs / "alone"), log(runs / name)
    assert [record["step"] for record in other] == [1, 2, 3, 4, 5, 6]
    for one, two in zip(alone, other, strict=True):
        assert one.keys() == two.keys() and two["tokens"] == one["tokens"]
        for key in one.keys() - {"step", "tokens", *TIMED}:
            assert two[key] == pytest.approx(one[key], rel=1e-5), (key, one["step"])
    assert "validation_loss" in alone[2] and "validation_loss" in alone[5]
    kept = sorted(place.name for place in (runs / name / "steps").iterdir())
    assert kept == ["0000001", "0000002", "0000004", "0000006"]
    for place in (".", *(f"steps/{step}" for step in kept)):
        first, second = (load_model(runs / run / place).state_dict() for run in ("alone", name))
        assert first.keys() == second.keys()
        for weight in first:
            torch.testing.assert_close(second[weight], first[weight], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("parallel", ["data", "fsdp"])
def test_the_gradient_is_that_of_one_process(runs: Path, parallel: str) -> None:
    alone, other = (load_file(runs / f"gradients-{name}.safetensors") for name in ("alone", parallel))
    assert alone.keys() == other.keys() and len(alone) > 20
    for name, gradient in alone.items():
        scale = float(gradient.abs().max())
        assert scale > 0, name
        torch.testing.assert_close(other[name] / scale, gradient / scale, rtol=0, atol=1e-5)


def test_a_run_resumed_on_as_many_processes_is_the_same_bit_for_bit(runs: Path) -> None:
    whole, resumed = runs / "fsdp", runs / "fsdp-fsdp"
    for one, two in zip(log(whole), log(resumed), strict=True):
        assert {**one, **dict.fromkeys(TIMED)} == {**two, **dict.fromkeys(TIMED)}
    files = sorted(path.relative_to(whole) for path in whole.rglob("*.safetensors"))
    assert files == sorted(path.relative_to(resumed) for path in resumed.rglob("*.safetensors"))
    for file in files:
        first, second = load_file(whole / file), load_file(resumed / file)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first), file


def test_each_process_saves_its_share_as_safetensors(runs: Path) -> None:
    state = runs / "fsdp" / "state"
    assert {path.suffix for path in state.rglob("*") if path.is_file()} == {".json", ".safetensors"}
    shares = [load_file(path) for path in sorted((state / "optimizer").iterdir())]
    alone = load_file(runs / "alone" / "state" / "optimizer.safetensors")
    assert len(shares) == 2 and set(shares[0]) | set(shares[1]) == set(alone)
    for name, tensor in alone.items():
        rows = [len(share[name]) for share in shares if name in share and tensor.dim()]
        assert sum(rows) == (len(tensor) if tensor.dim() else 0)
    sizes = [sum(tensor.numel() for tensor in share.values()) for share in shares]
    assert max(sizes) < 0.55 * sum(sizes)
    assert not list(runs.glob(".*")), "what a save needs beside its target is gone"
    check_state(runs / "fsdp")
