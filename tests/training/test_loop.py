"""The loop: resuming bit for bit, stopping on signals, logging, keeping, refusing."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import golden
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from training_parts import CONTEXT, corpus, model

from shizuku.checkpoints.directory import load_model, load_run, load_tokenizer
from shizuku.config import to_dict
from shizuku.data.packing import Batch, PackedBatches, ValidationBatches
from shizuku.data.shards import ShardSet
from shizuku.errors import CheckpointError, ConfigError, TrainingError
from shizuku.models.decoder import Decoder
from shizuku.text.tokenizer import Tokenizer
from shizuku.training import resume
from shizuku.training.best import Best
from shizuku.training.config import LoopConfig, OptimizerConfig, ScheduleConfig
from shizuku.training.evaluation import judged_every
from shizuku.training.loop import train
from shizuku.training.objectives import NextToken
from shizuku.training.result import TrainResult
from shizuku.training.speed import replanned_steps

STEPS = 30
CONFIG = LoopConfig(steps=STEPS, accumulate=2, log_every=1, save_every=4, resume=True)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, ShardSet]:
    return corpus(tmp_path_factory.mktemp("corpus") / "shards")


def source(shards: ShardSet) -> PackedBatches:
    return PackedBatches(shards, context=CONTEXT, batch_size=2, seed=5)


def go(shards: ShardSet, out: Path, config: LoopConfig = CONFIG, **more: Any) -> TrainResult:
    return train(model(), NextToken(z_loss=1e-3), source(shards), config, out=out, **more)


def everything(out: Path) -> dict[str, Any]:
    """All that decides how a run goes on, and its log without times."""
    progress = json.loads((out / "state" / "loop.json").read_text())
    log = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    timed = ("seconds", "tokens_per_second", "flops_per_second")
    return {
        **{name: load_file(out / name) for name in ("model.safetensors", "state/optimizer.safetensors")},
        "random": load_file(out / "state" / "random.safetensors"),
        "progress": {name: progress[name] for name in ("step", "steps", "tokens", "flops", "source")},
        "log": [{name: value for name, value in record.items() if name not in timed} for record in log],
    }


def assert_same(first: Any, second: Any, place: str = "") -> None:
    assert type(first) is type(second), place
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), place
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), place
        for key in first:
            assert_same(first[key], second[key], f"{place}/{key}")
    else:
        assert first == second, place


CHILD = """
import sys
sys.path[:0] = {paths}
import torch
torch.set_num_threads(1)
from itertools import pairwise
from pathlib import Path
from shizuku.data.shards import ShardSet
import test_loop
test_loop.go(ShardSet.open({shards!r}), Path({out!r}))
"""


def test_a_killed_run_resumed_equals_the_uninterrupted_one(
    parts: tuple[Tokenizer, ShardSet], tmp_path: Path
) -> None:
    _, shards = parts
    go(shards, tmp_path / "whole")
    out, log = tmp_path / "killed", tmp_path / "killed" / "metrics.jsonl"
    here = Path(__file__).parent
    code = CHILD.format(paths=[str(here), str(here.parent)], shards=str(shards.directory), out=str(out))
    child = subprocess.Popen([sys.executable, "-c", code])
    lines = random.randint(1, STEPS - 2)
    try:
        while child.poll() is None and not (log.is_file() and log.read_text().count("\n") >= lines):
            time.sleep(0.002)
    finally:
        child.kill()
        child.wait()
    assert child.returncode in (-signal.SIGKILL, 0), "the child failed by itself"
    go(shards, out)
    assert_same(everything(tmp_path / "whole"), everything(out), f"killed after {lines} lines")


@pytest.mark.parametrize("number, error", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_saves_after_the_step_and_says_how_to_go_on(
    parts: tuple[Tokenizer, ShardSet],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    number: int,
    error: type[BaseException],
) -> None:
    def interrupt(record: Mapping[str, Any]) -> None:
        if record["step"] == 7:
            os.kill(os.getpid(), number)

    handler = signal.getsignal(number)
    with pytest.raises(error):
        go(parts[1], tmp_path / "out", on_log=interrupt)
    assert signal.getsignal(number) is handler
    assert "after step 7 of 30" in capsys.readouterr().err.replace("\n", " ")
    go(parts[1], tmp_path / "out")
    go(parts[1], tmp_path / "whole")
    assert_same(everything(tmp_path / "whole"), everything(tmp_path / "out"))


def test_golden_run() -> None:
    stored = json.loads(golden.FILE.read_text())
    # Other processors add in another order; a changed mechanism moves losses by far more.
    assert golden.losses() == pytest.approx(stored, rel=1e-4)
    assert stored[0] - stored[-1] > 0.5


def test_a_run_learns_and_leaves_a_whole_checkpoint(
    parts: tuple[Tokenizer, ShardSet], tmp_path: Path
) -> None:
    tokenizer, shards = parts
    validation = ValidationBatches(shards, context=CONTEXT, batch_size=8)
    seen: list[Mapping[str, Any]] = []
    config = replace(CONFIG, log_every=10, evaluate_every=15, watts=100.0, price_per_hour=2.0, accumulate=1)
    made = model()
    result = train(
        made, NextToken(), source(shards), config, out=tmp_path / "out", tokenizer=tokenizer,
        validation=validation, run={"config": {"mine": 1}, "metrics": {"before": 2}}, on_log=seen.append,
    )  # fmt: skip
    assert result.history == seen == [json.loads(line) for line in (tmp_path / "out/metrics.jsonl").open()]
    assert [record["step"] for record in seen] == [1, 10, 15, 20, 30]
    assert [record["step"] for record in seen if "validation_loss" in record] == [15, 30]
    assert result.validation_loss == seen[-1]["validation_loss"] < seen[0]["loss"] - 1
    assert result.tokens_seen == STEPS * 2 * CONTEXT
    run = load_run(tmp_path / "out")
    assert run["config"] == {"mine": 1} and run["training"]["optimizer"]["kind"] == "muon"
    assert run["metrics"]["before"] == 2 and run["metrics"]["validation_loss"] == result.validation_loss
    cost = run["metrics"]["cost"]
    assert cost["flops"] == result.flops and cost["price"] == pytest.approx(2 * cost["seconds"] / 3600)
    assert load_tokenizer(tmp_path / "out").encode("the cat") == tokenizer.encode("the cat")
    loaded = load_model(tmp_path / "out")
    for name, weight in made.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name]), name


def test_log_spaced_checkpoints_are_kept(parts: tuple[Tokenizer, ShardSet], tmp_path: Path) -> None:
    go(parts[1], tmp_path / "out", replace(CONFIG, steps=11, keep_log_spaced=True))
    kept = sorted((tmp_path / "out" / "steps").iterdir())
    assert [int(place.name) for place in kept] == [1, 2, 4, 8, 11]
    weights = [load_model(place).embedding.weight for place in kept]
    assert not any(torch.equal(a, b) for a, b in pairwise(weights))


def test_a_run_that_is_there_is_not_overwritten(parts: tuple[Tokenizer, ShardSet], tmp_path: Path) -> None:
    short = replace(CONFIG, steps=2, resume=False)
    go(parts[1], tmp_path / "out", short)
    before = everything(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"holds a run already .*--resume.*another --out"):
        go(parts[1], tmp_path / "out", short)
    assert_same(before, everything(tmp_path / "out"))
    (tmp_path / "out/state/loop.json").unlink()
    with pytest.raises(CheckpointError, match="not the state/"):
        go(parts[1], tmp_path / "out", CONFIG)


def test_a_run_from_before_a_setting_of_the_model_goes_on_where_the_default_is_meant() -> None:
    def progress(**changes: Any) -> resume.Progress:
        settings = {**json.loads(json.dumps(to_dict(model().config))), **changes}
        return resume.Progress(config=to_dict(CONFIG), task={"model": settings, "terms": {}}, steps=STEPS)

    now, older = progress(), progress()
    assert older.task["model"].pop("logit_cap", 0) is None
    resume.check_same_run(older, now, CONFIG)
    older.task["model"]["rope_theta"] = 5.0
    with pytest.raises(ConfigError, match=r"begun with other settings: model.rope_theta was 5.0, is 10000.0"):
        resume.check_same_run(older, now, CONFIG)
    with pytest.raises(ConfigError, match=r"begun with other settings: model.logit_cap was None, is 3.0"):
        resume.check_same_run(now, progress(logit_cap=3.0), CONFIG)


def test_resuming_a_finished_run_changes_nothing(parts: tuple[Tokenizer, ShardSet], tmp_path: Path) -> None:
    first = go(parts[1], tmp_path / "out")
    before = everything(tmp_path / "out")
    again = go(parts[1], tmp_path / "out")
    assert_same(before, everything(tmp_path / "out"))
    assert again.loss == first.loss and again.history == first.history


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"optimizer": OptimizerConfig(learning_rate=0.5)}, "loop.optimizer.learning_rate was 0.003, is 0.5"),
        ({"accumulate": 4}, "loop.accumulate was 2, is 4"),
        ({"seed": 3}, "loop.seed was 0, is 3"),
        ({"steps": 60}, "--steps 60: the run was planned for 30"),
    ],
)
def test_settings_that_decide_the_result_may_not_change(
    parts: tuple[Tokenizer, ShardSet], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(parts[1], tmp_path / "out", on_log=stop_at(20))
    with pytest.raises(ConfigError, match=message):
        go(parts[1], tmp_path / "out", replace(CONFIG, **changes))


def test_another_model_objective_or_text_is_refused(
    parts: tuple[Tokenizer, ShardSet], tmp_path: Path
) -> None:
    shards = parts[1]
    with pytest.raises(KeyboardInterrupt):
        go(shards, tmp_path / "out", on_log=stop_at(3))
    with pytest.raises(ConfigError, match=r"model.ffn_width was 32, is 48"):
        train(model(ffn_width=48), NextToken(z_loss=1e-3), source(shards), CONFIG, out=tmp_path / "out")
    with pytest.raises(ConfigError, match=r"terms.z was .*, is None"):
        train(model(), NextToken(), source(shards), CONFIG, out=tmp_path / "out")
    other = PackedBatches(shards, context=CONTEXT, batch_size=2, seed=6)
    with pytest.raises(ConfigError, match="seed was 5, is 6"):
        train(model(), NextToken(z_loss=1e-3), other, CONFIG, out=tmp_path / "out")


def test_logging_may_change_and_a_stable_rate_allows_more_steps(
    parts: tuple[Tokenizer, ShardSet], tmp_path: Path
) -> None:
    schedule = ScheduleConfig(kind="wsd", warmup=0.1, decay=0.3)
    config = replace(CONFIG, schedule=schedule)
    with pytest.raises(KeyboardInterrupt):
        go(parts[1], tmp_path / "out", config, on_log=stop_at(10))
    longer = replace(config, steps=50, log_every=5, save_every=None, watts=3.0)
    assert go(parts[1], tmp_path / "out", longer).tokens_seen == 50 * 2 * 2 * CONTEXT


def stop_at(step: int) -> Any:
    def interrupt(record: Mapping[str, Any]) -> None:
        if record["step"] == step:
            os.kill(os.getpid(), signal.SIGINT)

    return interrupt


def test_damaged_state_is_named(parts: tuple[Tokenizer, ShardSet], tmp_path: Path) -> None:
    go(parts[1], tmp_path / "out", replace(CONFIG, steps=2))
    damaged = tmp_path / "out/state/optimizer.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"optimizer\.safetensors"):
        go(parts[1], tmp_path / "out", replace(CONFIG, steps=2))


def test_a_full_disk_leaves_the_checkpoint_before(
    parts: tuple[Tokenizer, ShardSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("No space left on device (os error 28)")

    def fill(record: Mapping[str, Any]) -> None:
        if record["step"] == 6:
            monkeypatch.setattr(resume, "save_file", full)

    with pytest.raises(CheckpointError, match=r"cannot write the checkpoint .*No space left.*still there"):
        go(parts[1], tmp_path / "out", on_log=fill)
    monkeypatch.undo()
    assert everything(tmp_path / "out")["progress"]["step"] == 4
    go(parts[1], tmp_path / "out")
    go(parts[1], tmp_path / "whole")
    assert_same(everything(tmp_path / "whole"), everything(tmp_path / "out"))


def test_a_full_disk_under_the_log_is_an_error(parts: tuple[Tokenizer, ShardSet], tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"metrics\.jsonl: cannot be written: No space left"):
        go(parts[1], tmp_path / "out")


def test_a_loss_that_is_not_finite_stops_before_the_step(
    parts: tuple[Tokenizer, ShardSet], tmp_path: Path
) -> None:
    made = model()
    with torch.no_grad():
        made.final_norm.weight[0] = torch.nan
    before = {name: weight.clone() for name, weight in made.state_dict().items()}
    with pytest.raises(TrainingError, match=r"step 1: .*bad-batch-step-1\.safetensors"):
        train(made, NextToken(), source(parts[1]), CONFIG, out=tmp_path / "out")
    for name, weight in made.state_dict().items():
        assert torch.equal(weight, before[name]) or name == "final_norm.weight", name
    assert set(load_file(tmp_path / "out/bad-batch-step-1.safetensors")) >= {"0.ids_BT", "1.targets_BT"}


def test_a_time_budget_is_turned_into_steps_before_the_first(
    parts: tuple[Tokenizer, ShardSet], tmp_path: Path
) -> None:
    batches = source(parts[1])
    config = replace(CONFIG, steps=None, max_seconds=1.0, log_every=1000)
    result = train(model(), NextToken(), batches, config, out=tmp_path / "out")
    progress = everything(tmp_path / "out")["progress"]
    assert progress["step"] == progress["steps"] > 1
    assert batches.state_dict()["rows"] == progress["steps"] * 4, "measuring must leave the order alone"
    assert result.seconds < 10


class Slow:
    """A source that takes time which measuring a few steps does not show."""

    def __init__(self, whole: PackedBatches, seconds: float) -> None:
        self.whole, self.seconds = whole, seconds
        self.state_dict, self.load_state_dict = whole.state_dict, whole.load_state_dict

    def next(self) -> Batch:
        time.sleep(self.seconds)
        return self.whole.next()


def test_a_time_budget_is_kept_by_the_pace_of_the_run_itself(
    parts: tuple[Tokenizer, ShardSet], tmp_path: Path
) -> None:
    config = replace(CONFIG, steps=None, max_seconds=3.0, accumulate=1, log_every=1000, save_every=None)
    result = train(model(), NextToken(), Slow(source(parts[1]), 0.1), config, out=tmp_path / "out")
    progress = everything(tmp_path / "out")["progress"]
    assert progress["step"] == progress["steps"] > 10
    assert 2 < result.seconds < 4.5, "by the steps measured before the first it would be more than ten times"
    falling = [record["rate"] for record in result.history][-1]
    assert falling < 0.2, "the rate still falls to the end"


@pytest.mark.parametrize(
    ("kind", "longest"), [("constant", 101), ("wsd", 200), ("cosine", 970), ("inverse-root", 970)]
)
def test_a_run_that_has_used_up_its_time_comes_to_its_end(kind: Any, longest: int) -> None:
    config = LoopConfig(max_seconds=60.0, schedule=ScheduleConfig(kind=kind, warmup=0.02, decay=0.5))
    progress = resume.Progress(config={}, task={}, steps=970, step=100, seconds=65.0)
    assert replanned_steps(config, progress) == longest
    progress.seconds = 5.0  # and one that is faster than was thought goes on for longer
    assert replanned_steps(config, progress) == (1163 if kind in ("constant", "wsd") else 970)


def test_tensorboard_events_are_written(parts: tuple[Tokenizer, ShardSet], tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    go(parts[1], tmp_path / "out", replace(CONFIG, steps=3, tensorboard=True))
    events = reader.EventAccumulator(str(tmp_path / "out/tensorboard"))
    events.Reload()
    logged = [json.loads(line)["loss"] for line in (tmp_path / "out/metrics.jsonl").open()]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(logged)


class Halved:
    """A source that hides which of its rows are there: a fake to show that sources are a seam."""

    def __init__(self, whole: PackedBatches) -> None:
        self.whole = whole

    def next(self) -> Batch:
        batch = self.whole.next()
        return replace(batch, mask_BT=batch.mask_BT & (batch.ids_BT % 2 == 0))

    def state_dict(self) -> Mapping[str, Any]:
        return self.whole.state_dict()

    def load_state_dict(self, state: Any) -> None:
        self.whole.load_state_dict(state)


def test_any_source_will_do(parts: tuple[Tokenizer, ShardSet], tmp_path: Path) -> None:
    made: Decoder = model()
    result = train(
        made, NextToken(), Halved(source(parts[1])), replace(CONFIG, steps=3), out=tmp_path / "out"
    )
    assert result.tokens_seen == 3 * 2 * 2 * CONTEXT


@pytest.mark.parametrize(
    ("steps", "in_step", "heldout", "every"),
    [(100, 8, 20, 10), (40, 8, 98, 40), (3, 4, 1000, 3), (1, 1, 1, 1), (60, 4, 15, 9)],
)
def test_judging_takes_a_small_share_of_a_run(steps: int, in_step: int, heldout: int, every: int) -> None:
    found = judged_every(LoopConfig(steps=steps), in_step=in_step, heldout=heldout).evaluate_every
    assert found == every
    judged = -(-steps // every)
    assert judged == 1 or judged * heldout / 3 <= 0.15 * steps * in_step
    assert judged_every(LoopConfig(steps=9, evaluate_every=2), in_step=1, heldout=9).evaluate_every == 2


def test_a_validation_loss_that_is_no_number_is_never_the_best(tmp_path: Path) -> None:
    progress, written = resume.Progress(config={}, task={}, steps=9), []
    best = Best(LoopConfig(keep_best=True), tmp_path, progress)
    for step, loss in enumerate((float("nan"), 2.0, float("nan"), 1.0, float("inf")), start=1):
        progress.step = step
        best.judge(loss, written.append)
    assert progress.best == {"loss": 1.0, "step": 4, "waited": 1} and len(written) == 2
