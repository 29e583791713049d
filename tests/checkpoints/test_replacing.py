"""A save that is killed at any moment, or that others save and load beside, leaves a whole checkpoint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shizuku.checkpoints import replacing
from shizuku.checkpoints.directory import load_model, save_checkpoint
from shizuku.checkpoints.replacing import recover
from small_models import small_model

EVERY_STEP = """
# Saves a checkpoint over another in child processes that kill themselves at their 1st, 2nd, 3rd ... file
# operation; after each, what can be loaded must be the old one or the new one, with its own state.
import os, shutil, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from shizuku.checkpoints import digests, directory, replacing, run_record
from shizuku.checkpoints.directory import check_state, load_checkpoint, save_checkpoint
from small_models import small_model, small_tokenizer

target, exchange, existing = Path(sys.argv[1]), sys.argv[2] == "exchange", sys.argv[3] == "existing"
run_record.git_revision = lambda: None  # a process of its own, which the kill would not reach
if not exchange:
    replacing._exchange = lambda made, target: False
models = {"old": small_model(seed=0), "new": small_model(seed=1)}
tokenizer = small_tokenizer()
WATCHED = {"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.chmod", "os.listdir",
           "os.scandir", "ctypes.dlopen", "ctypes.dlsym", "shutil.rmtree"}

def save(which):
    def extra(folder):
        (folder / "state").mkdir()
        (folder / "state" / "which").write_text(which)
    save_checkpoint(target, model=models[which], tokenizer=tokenizer, extra=extra)

def killed_at(step):
    child = os.fork()
    if child == 0:
        seen = 0
        def hook(event, _):
            nonlocal seen
            if event in WATCHED:
                seen += 1
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        save("new")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WIFSIGNALED(status)

seen = {"old": 0, "new": 0, "none": 0}
step = 0
while True:
    step += 1
    shutil.rmtree(target, ignore_errors=True)
    if existing:
        save("old")
        (target / "metrics.jsonl").write_text("kept")
    killed = killed_at(step)
    if not existing and not target.exists():
        seen["none"] += 1
        continue
    found = load_checkpoint(target)
    check_state(target)
    which = (target / "state" / "which").read_text()
    for name, tensor in found.model.state_dict().items():
        assert torch.equal(tensor, models[which].state_dict()[name]), (step, which, name)
    if existing:
        assert (target / "metrics.jsonl").read_text() == "kept", step
    seen[which] += 1
    if not killed:
        break
save("new")
left = [entry.name for entry in target.parent.iterdir()]
assert left == [target.name], left
print(step, seen["old"], seen["new"], seen["none"])
"""

SAVE_ON = """
import sys
import torch
torch.set_num_threads(1)
from shizuku.checkpoints import replacing
from shizuku.checkpoints.directory import save_checkpoint
from small_models import small_model
if sys.argv[2] != "exchange":
    replacing._exchange = lambda made, target: False
seed = int(sys.argv[3])
model = small_model(seed=seed)
for _ in range(12):
    save_checkpoint(sys.argv[1], model=model, run={"metrics": {"seed": seed}})
"""

LOAD_ON = """
import sys
import torch
torch.set_num_threads(1)
from shizuku.checkpoints.directory import load_checkpoint
from small_models import small_model
models = [small_model(seed=seed).state_dict() for seed in range(3)]
seen = set()
while not sys.stdin.closed and len(seen) < 1000:
    found = load_checkpoint(sys.argv[1])
    seed = found.run["metrics"]["seed"]
    for name, tensor in found.model.state_dict().items():
        assert torch.equal(tensor, models[seed][name]), (seed, name)
    print(seed, flush=True)
"""


def python(code: str, *arguments: str) -> "subprocess.Popen[str]":
    path = str(Path(__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("existing", ["existing", "fresh"])
@pytest.mark.parametrize("way", ["exchange", "aside"])
def test_a_save_killed_at_any_file_operation(way: str, existing: str, tmp_path: Path) -> None:
    process = python(EVERY_STEP, str(tmp_path / "model"), way, existing)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    steps, old, new, none = map(int, out.split())
    assert steps > 15 and new > 1, "kills fell before and after the replacement"
    assert (old if existing == "existing" else none) > 10


@pytest.mark.slow
@pytest.mark.parametrize("way", ["exchange", "aside"])
def test_two_processes_save_while_a_third_loads(way: str, tmp_path: Path) -> None:
    target = save_checkpoint(tmp_path / "model", model=small_model(seed=2), run={"metrics": {"seed": 2}})
    loader = python(LOAD_ON, str(target))
    assert loader.stdout is not None and loader.stdout.readline()
    savers = [python(SAVE_ON, str(target), way, str(seed)) for seed in (0, 1)]
    for saver in savers:
        _, err = saver.communicate(timeout=120)
        assert saver.returncode == 0, err
    assert loader.poll() is None, loader.communicate()[1]
    loader.kill()
    loader.communicate()
    load_model(target)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_an_old_directory_left_aside_is_put_back(tmp_path: Path) -> None:
    target = save_checkpoint(tmp_path / "model", model=small_model())
    older, old = tmp_path / ".model.old-0a.b-1", tmp_path / ".model.old-0b.c-1"
    target.rename(old)
    older.mkdir()
    load_model(target)
    assert not old.exists()
    save_checkpoint(target, model=small_model(seed=1))
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"], "leftovers are cleaned up"
    assert not recover(tmp_path / "nothing")
    assert not recover(Path())


def test_the_workspace_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with replacing.workspace(target) as mine:
        save_checkpoint(target, model=small_model())
        assert mine.is_dir()
    assert not mine.exists()
    dead = tmp_path / ".model.tmp-0a.b"
    dead.mkdir()
    save_checkpoint(target, model=small_model())
    assert not dead.exists()


def test_a_linked_directory_is_replaced_where_it_lies(tmp_path: Path) -> None:
    real = tmp_path / "disk" / "model"
    real.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(real)
    save_checkpoint(link, model=small_model())
    assert link.is_symlink() and (real / "config.json").is_file()
    load_model(link)
