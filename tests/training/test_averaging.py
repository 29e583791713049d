"""The running average of the weights: right by its formula, evaluated, saved, and resumed exactly."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_loop import CONFIG, assert_same, everything, go, one_thread, parts, source, stop_at
from torch import nn
from training_parts import model

from shizuku.checkpoints.directory import load_model
from shizuku.errors import ConfigError
from shizuku.training.averaging import RunningAverage
from shizuku.training.config import LoopConfig
from shizuku.training.evaluation import evaluate
from shizuku.training.objectives import NextToken

__all__ = ["one_thread", "parts"]
AVERAGED = replace(CONFIG, ema=0.9)


def test_the_average_by_hand() -> None:
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(0.0)
    average = RunningAverage(layer, 0.5)
    expected = 0.0
    for step in range(1, 9):
        layer.weight.data.fill_(float(step))
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    with average.in_place():
        assert layer.weight.item() == pytest.approx(expected, rel=1e-6)
    assert layer.weight.item() == 8.0


def test_the_average_is_what_is_evaluated_and_saved(parts, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shards = parts[1]
    plain = go(shards, tmp_path / "plain", validation=[source(shards).next()])
    result = go(shards, tmp_path / "average", AVERAGED, validation=[source(shards).next()])
    assert [r["loss"] for r in result.history] == [r["loss"] for r in plain.history], "the path is the same"
    assert result.validation_loss != plain.validation_loss
    saved = load_model(tmp_path / "average")
    again = evaluate(saved, NextToken(), [source(shards).next()], torch.device("cpu"))
    assert again["loss"] == pytest.approx(result.validation_loss, abs=1e-6)
    raw = load_file(tmp_path / "average" / "state" / "optimizer.safetensors")
    for name, weight in load_model(tmp_path / "plain").named_parameters():
        assert torch.equal(raw[f"{name}/raw_weight"], weight), name
        assert not torch.equal(saved.get_parameter(name), weight), name


def test_a_run_broken_off_and_resumed_equals_the_whole_one(parts, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    go(parts[1], tmp_path / "whole", AVERAGED)
    with pytest.raises(KeyboardInterrupt):
        go(parts[1], tmp_path / "cut", AVERAGED, on_log=stop_at(13))
    go(parts[1], tmp_path / "cut", AVERAGED)
    assert_same(everything(tmp_path / "whole"), everything(tmp_path / "cut"))
    with pytest.raises(ConfigError, match=r"loop.ema was 0.9, is None"):
        go(parts[1], tmp_path / "cut")


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_that_is_none(decay: float) -> None:
    with pytest.raises(ConfigError, match=r"--loop\.ema"):
        LoopConfig(ema=decay)


def test_the_model_is_left_as_it_was_saved(parts, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from shizuku.training.loop import train

    trained = model()
    train(trained, NextToken(), source(parts[1]), replace(AVERAGED, steps=5), out=tmp_path / "m")
    for name, weight in load_model(tmp_path / "m").named_parameters():
        assert torch.equal(trained.get_parameter(name), weight), name
