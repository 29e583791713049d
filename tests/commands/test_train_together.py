"""`torchrun -m shizuku train` as a user types it: killed, asked to stop, resumed, and given a bad flag."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from shizuku import cli
from shizuku.checkpoints.directory import load_checkpoint
from torchrun import start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="torchrun on gloo is for Linux and macOS"),
]
WORDS = tuple("the cat dog sees a red blue house and runs to old river while rain falls on stones".split())  # noqa: SIM905
STEPS = 48
# Low rates: rounding, which differs with the number of processes, is not blown up within these steps.
FLAGS = [
    "--preset", "micro", "--vocab-size", "320", "--model.context", "32", "--batch-size", "4",
    "--threads", "1", "--steps", str(STEPS), "--json", "--resume",
    "--loop.log-every", "1", "--loop.save-every", "4",
    "--loop.optimizer.muon-learning-rate", "0.002", "--loop.optimizer.learning-rate", "0.0005",
    "--loop.optimizer.embedding-learning-rate", "0.001",
]  # fmt: skip


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty small files of made-up sentences."""
    folder = tmp_path_factory.mktemp("text")
    chooser = random.Random(0)
    for number in range(40):
        lines = (" ".join(chooser.choices(WORDS, k=12)) + ".\n" for _ in range(12))
        (folder / f"{number:02}.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def torchrun(text: Path, out: Path, *more: str, restarts: int = 0) -> "subprocess.Popen[str]":
    """`shizuku train` with the flags of all runs here."""
    return start("train", "--text", str(text), "--out", str(out), *FLAGS, *more, restarts=restarts)


def lines_of(out: Path) -> list[dict[str, Any]]:
    """The records of the log, without a last one that is being written."""
    log = out / "metrics.jsonl"
    whole = log.read_text().rpartition("\n")[0] if log.is_file() else ""
    return [json.loads(line) for line in whole.splitlines()]


def processes_at(step: int, job: "subprocess.Popen[str]", out: Path) -> list[psutil.Process]:
    """The job's processes by rank, once `step` is logged."""
    deadline = time.monotonic() + 120
    while len(lines_of(out)) < step:
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < deadline, "the job does not get on"
        time.sleep(0.005)
    found = psutil.Process(job.pid).children(recursive=True)
    assert len(found) == 2, found
    return sorted(found, key=lambda process: int(process.environ()["RANK"]))


def state(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "state" / "loop.json").read_text())
    return found


def test_killed_then_stopped_then_resumed_it_is_the_run_of_one_process(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, chooser = tmp_path / "run", random.Random()
    victim, step = chooser.randrange(2), chooser.randint(5, 20)
    job = torchrun(text, out, "--loop.parallel", "fsdp", restarts=1)
    first = processes_at(step, job, out)
    first[victim].kill()
    assert not psutil.wait_procs(first, timeout=30)[1], f"process {1 - victim} did not stop"

    second = processes_at(30, job, out)  # torchrun has started it again, and --resume has found its place
    job.send_signal(signal.SIGTERM)
    printed, said = job.communicate(timeout=60)
    assert job.returncode != 0 and printed == "" and not psutil.wait_procs(second, timeout=5)[1]
    assert said.count("shizuku train: ") <= 1 and "defect" not in said, said
    found = re.findall(rf"going on in {out} after step (\d+) of {STEPS}", said)
    assert len(found) == 1 and 4 <= int(found[0]) <= step + 8 and int(found[0]) % 4 == 0, (step, said)
    stopped = state(out)["step"]
    assert f"saved {out} after step {stopped} of {STEPS}" in said and stopped == len(lines_of(out)) >= 30, (
        said
    )
    assert "torchrun --nproc-per-node 2 -m shizuku train --config" in said, said
    assert load_checkpoint(out).run["metrics"]["step"] == stopped, "the model and the state are of one step"

    job = torchrun(text, out)  # data parallel this time
    printed, said = job.communicate(timeout=120)
    assert job.returncode == 0, said
    result = json.loads(printed)
    assert result["checkpoint"] == str(out) and result["tokens_seen"] == STEPS * 4 * 32

    assert cli.run(["train", "--text", str(text), "--out", str(tmp_path / "alone"), *FLAGS]) == 0
    alone = json.loads(capsys.readouterr().out)
    for one, two in zip(lines_of(tmp_path / "alone"), lines_of(out), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-5), one["step"]
    assert result["validation_loss"] == pytest.approx(alone["validation_loss"], rel=1e-5)
    assert sorted(place.name for place in tmp_path.iterdir()) == ["alone", "run"]


def test_a_mistake_is_told_once_and_ends_all(text: Path, tmp_path: Path) -> None:
    both = [
        torchrun(text, tmp_path / "rows", "--batch-size", "3"),
        torchrun(text, tmp_path / "flag", "--stepz", "3"),
    ]
    said = [job.communicate(timeout=120) for job in both]
    assert all(job.returncode != 0 for job in both) and not any(printed for printed, _ in said)
    assert said[0][1].count("--batch-size 3: 2 processes can't share its rows equally") == 1, said[0][1]
    assert said[1][1].count("Unrecognized options: --stepz") == 1, said[1][1]
    assert not list(tmp_path.iterdir())
