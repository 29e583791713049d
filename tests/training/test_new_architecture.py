"""A new architecture is two files: the model, and what the package has to know about it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import shizuku
from shizuku import cli
from shizuku.errors import ModelError
from shizuku.models import architectures

MODEL = '''
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from shizuku.models.recurrence import RecurrentLanguageModel


@dataclass(frozen=True, kw_only=True, slots=True)
class FadingConfig:
    ARCHITECTURE: ClassVar[str] = "fading"
    vocab_size: int
    context: int = 32
    width: int = 16
    layers: int = 1
    fade: float = 0.5


class Fading(nn.Module):
    """Adds to each token a sum of those before it that fades."""

    def __init__(self, config):
        super().__init__()
        self.mix, self.fade = nn.Linear(config.width, config.width), config.fade
        self.state_shapes = {"sum": (config.width,)}

    def forward(self, x_BTD, call):
        held_BD = call.held("sum")
        sum_BD = torch.zeros_like(x_BTD[:, 0]) if held_BD is None else held_BD
        sums = []
        for t in range(x_BTD.shape[1]):
            if call.documents is not None:
                sum_BD = sum_BD * ~call.documents.starts_BT[:, t, None]
            sum_BD = self.fade * sum_BD + x_BTD[:, t]
            sums.append(sum_BD)
        call.keep("sum", sum_BD)
        return x_BTD + torch.tanh(self.mix(torch.stack(sums, 1)))


def make(config):
    return RecurrentLanguageModel(config, [Fading(config) for _ in range(config.layers)], width=config.width)


@torch.no_grad()
def initialise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
'''
ARCHITECTURE = """
from fading_model import FadingConfig, initialise, make
from shizuku.models.architectures import Architecture

ARCHITECTURE = Architecture(
    name="fading", config=FadingConfig, model=make, initialise=initialise, presets={"tiny": {}},
    runs="recurrent",
)
"""


@pytest.fixture
def fading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The two files, where they are found."""
    (tmp_path / "fading_model.py").write_text(MODEL)
    (tmp_path / "kinds").mkdir()
    (tmp_path / "kinds" / "fading.py").write_text(ARCHITECTURE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(architectures, "__path__", [*architectures.__path__, str(tmp_path / "kinds")])
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat and the dog sat by the door. " * 60)
    yield text
    for name in ("fading_model", "shizuku.models.architectures.fading"):
        sys.modules.pop(name, None)


def test_two_files_are_trained_saved_opened_scored_and_sampled(
    fading: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    train = ["train", "--architecture", "fading", "--text", str(fading), "--out", str(out), "--json"]
    train += ["--vocab-size", "280", "--batch-size", "4", "-t", "1", "--setting", "fade=0.9"]
    assert cli.run([*train, "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 280 * 16 + 16 * 16 + 16
    assert cli.run([*train, "--steps", "60"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] < 5
    config = json.loads((out / "config.json").read_text())
    assert (config["model_type"], config["fade"]) == ("shizuku-fading", 0.9)
    assert cli.run([*train, "--resume", "--steps", "60"]) == 0
    capsys.readouterr()
    assert cli.run(["eval", str(out), "--text", str(fading), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bits_per_byte"] < 4
    lm = shizuku.load(out)
    assert lm.capabilities >= {"generate", "score", "embed"}
    ids = lm.prompt_ids("the cat sat on")
    (score,) = lm.score(["the cat sat on"])
    logits_TV = lm.logits(ids)
    shifted = logits_TV - logits_TV.max(-1, keepdims=True)
    logprobs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    expected = [logprobs[n, token] for n, token in enumerate(ids[1:])]
    np.testing.assert_allclose(score.token_logprobs[-len(expected) :], expected, atol=1e-4)
    text = lm.generate("the cat", max_new_tokens=6)
    assert text == "".join(lm.stream("the cat", max_new_tokens=6)) and len(text) > 0
    with pytest.raises(ModelError, match="native library computes decoders"):
        shizuku.load(out, runtime="native")


def test_settings_that_it_has_not_are_named(
    fading: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "--architecture", "fading", "--text", str(fading), "--out", str(tmp_path / "out")]
    assert cli.run([*train, "--setting", "shade=1"]) != 0
    assert "--setting shade: --architecture fading has no such setting, but context, fade" in _said(capsys)
    assert cli.run([*train, "--setting", "fade"]) != 0
    assert "--setting fade: expected name=value" in _said(capsys)
    assert cli.run([*train, "--model.heads", "3"]) != 0
    assert "--model.heads: --architecture fading has no such setting" in _said(capsys)
    assert cli.run([*train, "--preset", "base"]) != 0
    assert "the presets of --architecture fading are tiny" in _said(capsys)


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())
