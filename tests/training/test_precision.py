"""Mixed precision: near float32, not equal to it; overflow left out; resumed exactly; refused where slow."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from recurrent_parts import random_model
from safetensors import safe_open
from safetensors.torch import load_file
from test_loop import CONFIG, assert_same, everything, go, one_thread, parts, source, stop_at
from test_step import batch
from torch import Tensor
from training_parts import model

from shizuku.checkpoints.directory import load_model, load_run
from shizuku.data.shards import ShardSet
from shizuku.errors import CheckpointError, ConfigError, TrainingError
from shizuku.models.gated_delta import GatedDeltaConfig
from shizuku.models.lstm import LSTMConfig
from shizuku.models.mamba import MambaConfig
from shizuku.training.batches import TensorBatch
from shizuku.training.config import LoopConfig
from shizuku.training.cross_entropy import cross_entropy_sums
from shizuku.training.loop import train
from shizuku.training.objectives import NextToken
from shizuku.training.precision import LossScaler, check_precision, product_seconds
from shizuku.training.step import accumulate_gradients

__all__ = ["one_thread", "parts"]
CPU = torch.device("cpu")
BFLOAT16 = replace(CONFIG, precision="bfloat16", check_precision=False)
FLOAT16 = replace(CONFIG, precision="float16", check_precision=False)


class Overflowing(NextToken):
    """The gradient, and not the loss, is `by` times too large in the batches that are named."""

    def __init__(self, *batches: int, by: float = 1e6) -> None:
        super().__init__(z_loss=1e-3)
        self.batches, self.by, self.seen = batches, by, 0

    def loss(self, model: Any, batch: Any) -> dict[str, Tensor]:
        sums = super().loss(model, batch)
        self.seen += 1
        if self.seen in self.batches:
            value = sums["next_token"]
            sums["next_token"] = value + self.by * (value - value.detach())
        return sums


def timing(**seconds: float) -> Callable[[torch.dtype, torch.device], float]:
    return lambda dtype, device: seconds[str(dtype).removeprefix("torch.")]


# ---- what the device has


def test_a_slow_device_is_refused_with_the_ratio() -> None:
    with pytest.raises(TrainingError, match=r"takes 310 times as long in bfloat16.*--loop.precision float32"):
        check_precision("bfloat16", CPU, seconds=timing(float32=1e-4, bfloat16=3.1e-2))
    assert check_precision("float16", CPU, seconds=timing(float32=1e-4, float16=2.9e-4)) == pytest.approx(2.9)
    assert check_precision("float32", CPU, seconds=timing()) == 1.0


def test_this_device_is_measured_and_asked(
    parts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_rng_state()
    assert 0 < product_seconds(torch.float32, CPU) < 1
    assert torch.equal(before, torch.get_rng_state())
    from shizuku.training import loop

    asked = []
    monkeypatch.setattr(loop, "check_precision", lambda *arguments: asked.append(arguments))
    go(parts[1], tmp_path / "asked", replace(BFLOAT16, steps=1, check_precision=True))
    go(parts[1], tmp_path / "not", replace(BFLOAT16, steps=1))
    assert asked == [("bfloat16", CPU)]


def test_the_device_is_asked_before_the_text_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shizuku.training import from_text
    from shizuku.training.config import TrainConfig

    def refuse(precision: str, device: torch.device) -> None:
        raise TrainingError(f"slow: {precision} on {device}")

    (tmp_path / "a.txt").write_text("a text", encoding="utf-8")
    monkeypatch.setattr(from_text, "check_precision", refuse)
    loop = LoopConfig(precision="float16")
    config = TrainConfig(text=(tmp_path / "a.txt",), out=tmp_path / "out", loop=loop)
    for begin in (from_text.plan, from_text.train_on_text, from_text.train_seeds):
        with pytest.raises(TrainingError, match="slow: float16 on cpu"):
            begin(config)
    assert not (tmp_path / "out").exists()


def test_a_precision_that_is_none() -> None:
    from shizuku.config import from_dict

    with pytest.raises(ConfigError, match="precision"):
        from_dict(LoopConfig, {"precision": "float8"})


# ---- what is computed


@pytest.mark.parametrize("precision, error", [("bfloat16", 2**-5), ("float16", 2**-8)])
def test_gradients_are_rounded_and_no_worse(precision: Any, error: float) -> None:
    gradients = {}
    for name in ("float32", precision):
        made = model()
        found = accumulate_gradients(made, NextToken(1e-3), [batch()], precision=name)
        gradients[name] = torch.cat([p.grad.flatten() for p in made.parameters() if p.grad is not None])
        assert gradients[name].dtype == torch.float32
        assert found.grad_norm == pytest.approx(float(gradients[name].norm()), rel=1e-5)
    away = (gradients[precision] - gradients["float32"]).norm() / gradients["float32"].norm()
    assert error / 40 < away < error


def test_the_scale_saves_small_gradients_and_is_taken_off_again() -> None:
    """Gradients near float16's smallest number (6e-8) are lost without a scale."""

    class Faint(NextToken):
        def loss(self, model: Any, batch: Any) -> dict[str, Tensor]:
            return {name: value * 1e-5 for name, value in super().loss(model, batch).items()}

    found = {}
    ways: dict[str, tuple[Any, float]] = {
        "truth": ("float32", 1.0),
        "bare": ("float16", 1.0),
        "scaled": ("float16", 2.0**16),
    }
    for name, (precision, scale) in ways.items():
        made = model()
        accumulate_gradients(made, Faint(), [batch()], precision=precision, scale=scale)
        found[name] = made.get_parameter("blocks.0.attention.value.weight").grad
    norm = found["truth"].norm()
    assert (found["scaled"] - found["truth"]).norm() < 0.02 * norm
    assert (found["bare"] - found["truth"]).norm() > 0.1 * norm


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_softmax_and_sums_stay_float32(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(3000, 8, generator=generator), torch.randn(50, 8, generator=generator)
    targets = torch.randint(50, (3000,), generator=generator)
    x.requires_grad_(), weight.requires_grad_()
    with torch.autocast("cpu", dtype):
        ce, z = cross_entropy_sums(x, weight, targets, with_z=True)
    assert ce.dtype == z.dtype == torch.float32
    logits = (x.to(dtype) @ weight.to(dtype).T).double()
    assert ce.item() == pytest.approx(F.cross_entropy(logits, targets, reduction="sum").item(), rel=1e-6)
    assert z.item() == pytest.approx(logits.logsumexp(-1).square().sum().item(), rel=1e-6)
    exact = torch.autograd.grad(F.cross_entropy(x @ weight.T, targets, reduction="sum"), (x, weight))
    for mine, other in zip(torch.autograd.grad(ce, (x, weight)), exact, strict=True):
        assert mine.dtype == torch.float32
        assert (mine - other).norm() < 4 * torch.finfo(dtype).eps * other.norm()


def test_bfloat16_follows_float32(parts: Any, tmp_path: Path) -> None:
    logs = {}
    for name, config in (("float32", CONFIG), ("bfloat16", BFLOAT16)):
        result = go(parts[1], tmp_path / name, config, validation=[source(parts[1]).next()])
        logs[name] = [record["loss"] for record in result.history]
    away = [abs(one - two) for one, two in zip(*logs.values(), strict=True)]
    # The losses fall by 2.3 nats, and from batch to batch they jump by a tenth.
    assert logs["float32"][0] - logs["float32"][-1] > 1
    assert 0 < away[0] < 1e-2 and max(away) < 0.03 and all(away)
    state = load_file(tmp_path / "bfloat16" / "state" / "optimizer.safetensors")
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    saved = load_model(tmp_path / "bfloat16").state_dict()
    assert any(not torch.equal(tensor, tensor.bfloat16().float()) for tensor in saved.values())


# ---- overflow


def test_the_scale_halves_on_overflow_and_doubles_after_good_steps() -> None:
    scaler = LossScaler(scale=8.0, growth=3)
    steps = [1.0, 1.0, torch.inf, 1.0, 1.0, 1.0, torch.nan, 1.0, 1.0]
    assert [scaler.overflowed(2.0, norm) for norm in steps] == [norm != 1.0 for norm in steps]
    assert (scaler.scale, scaler.good, scaler.skipped) == (4.0, 2, 2)
    assert LossScaler(**json.loads(json.dumps(scaler.state_dict()))) == scaler
    assert not scaler.overflowed(torch.nan, torch.nan), "a loss that is not finite is for the loop's check"
    lowest = LossScaler(scale=1.0)
    assert not lowest.overflowed(2.0, torch.inf) and lowest.scale == 1.0 and lowest.skipped == 0


def test_a_planted_overflow_skips_that_step_alone(
    parts: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights: dict[int, Tensor] = {}
    made = model()

    def note(record: Mapping[str, Any]) -> None:
        weights[record["step"]] = made.embedding.weight.detach().clone()

    config = replace(FLOAT16, steps=8)
    # Two batches a step: the ninth is the first of step 5.
    result = train(made, Overflowing(9), source(parts[1]), config, out=tmp_path / "out", on_log=note)
    for step in range(2, 9):
        assert torch.equal(weights[step], weights[step - 1]) == (step == 5), step
    assert [record["loss_scale"] for record in result.history] == [65536.0] * 4 + [32768.0] * 4
    assert [record["skipped_steps"] for record in result.history] == [0] * 4 + [1] * 4
    assert ["grad_norm" in record for record in result.history] == [step != 5 for step in range(1, 9)]
    assert "step 5: the gradient overflowed float16" in capsys.readouterr().err.replace("\n", " ")
    assert load_run(tmp_path / "out")["metrics"]["skipped_steps"] == 1


def test_a_step_that_is_left_out_does_not_move_the_average(parts: Any, tmp_path: Path) -> None:
    config = replace(FLOAT16, steps=5, ema=0.9, keep_log_spaced=True)
    train(model(), Overflowing(9), source(parts[1]), config, out=tmp_path / "out")
    before, after = (load_model(tmp_path / place) for place in ("out/steps/0000004", "out"))
    assert_same(dict(before.state_dict()), dict(after.state_dict()))


def test_overflow_at_a_scale_of_one_is_an_error(parts: Any, tmp_path: Path) -> None:
    made = model()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    objective = Overflowing(*range(1, 100), by=1e30)
    with pytest.raises(TrainingError, match=r"step 17: gradient norm is (inf|nan).*loss scale was 1"):
        train(made, objective, source(parts[1]), FLOAT16, out=tmp_path / "out")
    assert_same(dict(made.state_dict()), before)


# ---- saving and going on


@pytest.mark.parametrize(
    "config",
    [
        replace(BFLOAT16, save_dtype="bfloat16"),
        replace(FLOAT16, save_dtype="float16", ema=0.9),
        replace(CONFIG, save_dtype="float16"),
    ],
    ids=["bfloat16", "float16-average", "float32-saved-in-16"],
)
def test_a_run_broken_off_and_resumed_equals_the_whole_one(
    config: LoopConfig, parts: Any, tmp_path: Path
) -> None:
    def again(name: str, objective: NextToken, **more: Any) -> None:
        train(model(), objective, source(parts[1]), config, out=tmp_path / name, **more)

    again("whole", Overflowing(9))
    with pytest.raises(KeyboardInterrupt):
        again("cut", Overflowing(9), on_log=stop_at(13))
    again("cut", Overflowing())
    assert_same(everything(tmp_path / "whole"), everything(tmp_path / "cut"))
    scalers = [json.loads((tmp_path / n / "state/loop.json").read_text())["scaler"] for n in ("whole", "cut")]
    assert scalers[0] == scalers[1] and bool(scalers[0]) == (config.precision == "float16")


@pytest.mark.parametrize("save_dtype", ["bfloat16", "float16"])
def test_weights_are_saved_in_16_bits_on_request(save_dtype: Any, parts: Any, tmp_path: Path) -> None:
    trained = model()
    config = replace(CONFIG, steps=5, save_dtype=save_dtype, keep_log_spaced=True)
    train(trained, NextToken(), source(parts[1]), config, out=tmp_path / "m")
    dtype = getattr(torch, save_dtype)
    assert json.loads((tmp_path / "m" / "config.json").read_text())["dtype"] == save_dtype
    assert load_file(tmp_path / "m/steps/0000004/model.safetensors")["model.norm.weight"].dtype == dtype
    with safe_open(tmp_path / "m" / "model.safetensors", "pt") as opened:
        stored = sum(opened.get_tensor(name).nbytes for name in opened.keys())  # noqa: SIM118
    # "One float16 is 16 bits, that is 2 bytes, so a billion parameters need 2 GB", says the article.
    assert stored == 2 * sum(parameter.numel() for parameter in trained.parameters())
    state = load_file(tmp_path / "m" / "state" / "optimizer.safetensors")
    loaded = load_model(tmp_path / "m")
    for name, weight in trained.named_parameters():
        assert torch.equal(state[f"{name}/exact_weight"], weight), name
        assert loaded.get_parameter(name).dtype == torch.float32
        assert torch.equal(loaded.get_parameter(name), weight.to(dtype).float()), name


def test_transformers_opens_what_is_saved_in_16_bits(parts: Any, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    go(parts[1], tmp_path / "m", replace(CONFIG, steps=3, save_dtype="bfloat16"))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert theirs.dtype == torch.bfloat16
    ids = batch().ids_BT
    with torch.no_grad():
        mine = load_model(tmp_path / "m")(ids)
        assert (theirs.float()(ids).logits - mine).abs().max() < 2e-5 * mine.std()


def test_a_number_too_large_for_float16_is_named(parts: Any, tmp_path: Path) -> None:
    made = model()
    with torch.no_grad():
        made.final_norm.weight[3] = 1e6
    config = replace(CONFIG, steps=1, save_dtype="float16")
    with pytest.raises(CheckpointError, match=r"final_norm\.weight holds 1e\+06.*--loop\.save-dtype float32"):
        train(made, NextToken(), source(parts[1]), config, out=tmp_path / "m")


def test_a_run_from_before_there_were_these_settings_goes_on(parts: Any, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(parts[1], tmp_path / "m", on_log=stop_at(3))
    file = tmp_path / "m" / "state" / "loop.json"
    record = json.loads(file.read_text())
    for key in ("precision", "save_dtype", "check_precision"):
        del record["config"][key]
    del record["scaler"]
    file.write_text(json.dumps(record))
    run = json.loads((tmp_path / "m" / "run.json").read_text())
    del run["files"]["state/loop.json"]
    (tmp_path / "m" / "run.json").write_text(json.dumps(run))
    with pytest.raises(ConfigError, match=r"loop.precision was 'float32', is 'bfloat16'"):
        go(parts[1], tmp_path / "m", BFLOAT16)
    go(parts[1], tmp_path / "m")


# ---- many processes


def one_of_two(rank: int, shards: str, out: str) -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"file://{out}.meeting", rank=rank, world_size=2)
    made, config = model(), replace(FLOAT16, steps=3, accumulate=1)
    with (Path(f"{out}.{rank}")).open("w") as log:

        def note(record: Mapping[str, Any]) -> None:
            sums = [float(p.detach().double().sum()) for p in made.parameters()]
            log.write(json.dumps([record["loss_scale"], record["skipped_steps"], sums]) + "\n")

        objective = Overflowing(2) if rank == 1 else Overflowing()
        train(made, objective, source(ShardSet.open(shards)), config, out=Path(out), on_log=note)
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "darwin", reason="gloo wants another interface name there")
def test_an_overflow_in_one_process_is_left_out_by_all(parts: Any, tmp_path: Path) -> None:
    mp.spawn(one_of_two, (str(parts[1].directory), str(tmp_path / "out")), nprocs=2)
    first, second = ((tmp_path / f"out.{rank}").read_text() for rank in (0, 1))
    assert first == second
    lines = [json.loads(line) for line in first.splitlines()]
    assert [line[:2] for line in lines] == [[65536.0, 0], [32768.0, 1], [32768.0, 1]]
    assert lines[0][2] == lines[1][2] != lines[2][2]


@pytest.mark.parametrize(
    "config",
    [
        MambaConfig(vocab_size=40, context=16, width=16, layers=2),
        MambaConfig(vocab_size=40, context=16, width=16, layers=2, heads=2),
        GatedDeltaConfig(
            vocab_size=40, context=16, width=16, layers=2, heads=2, key_width=8, value_width=8, ffn_width=24
        ),
        LSTMConfig(vocab_size=40, context=16, width=16),
    ],
    ids=["mamba", "mamba2", "recurrent", "lstm"],
)
def test_recurrent_models_have_gradients_near_those_of_float32(config: Any) -> None:
    made, generator = random_model(config), torch.Generator().manual_seed(1)
    ids_BT = torch.randint(40, (4, 17), generator=generator)
    segments_BT = torch.tensor([0] * 7 + [1] * 9).expand(4, 16)
    given = TensorBatch(ids_BT[:, :-1], ids_BT[:, 1:], torch.ones(4, 16, dtype=torch.bool), segments_BT, None)
    gradients = []
    for precision in ("float32", "bfloat16"):
        made.zero_grad()
        accumulate_gradients(made, NextToken(), [given], precision=precision)
        gradients.append(torch.cat([p.grad.flatten() for p in made.parameters() if p.grad is not None]))
    near = torch.cosine_similarity(*gradients, dim=0)
    assert 0.98 < near < 1 and not torch.equal(*gradients)
