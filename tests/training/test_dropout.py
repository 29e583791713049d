"""Dropout: in training steps only, with the expectation kept, gone afterwards, and resumed exactly."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_loop import CONFIG, assert_same, everything, go, one_thread, parts, source, stop_at
from training_parts import model

from shizuku.checkpoints.directory import load_model
from shizuku.errors import ConfigError
from shizuku.training.config import LoopConfig
from shizuku.training.dropout import dropping, seed_draws
from shizuku.training.evaluation import evaluate
from shizuku.training.objectives import NextToken

__all__ = ["one_thread", "parts"]
DROPPED = replace(CONFIG, dropout=0.25)


def test_a_share_is_left_out_and_the_expectation_stays() -> None:
    made, ids = model(), torch.arange(16)[None]
    embedded = made.embedding(ids)
    made.train()
    torch.manual_seed(0)
    with dropping(made, 0.25):
        seen = torch.stack([made.embedding(ids) for _ in range(2000)])
        inside = made(ids)
    kept = seen != 0
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.01)
    torch.testing.assert_close(seen[kept], (embedded / 0.75).expand_as(seen)[kept])
    assert not torch.allclose(inside, made(ids)), "layers drop too"
    assert torch.equal(made.embedding(ids), embedded), "nothing is left behind"


def test_what_every_layer_adds_is_dropped() -> None:
    made, ids = model().train(), torch.arange(16)[None]
    torch.manual_seed(0)
    for block in made.blocks:
        for part in (block.attention, block.feedforward):
            outputs: list[torch.Tensor] = []
            with dropping(made, 0.5):
                handle = part.register_forward_hook(lambda m, i, o, kept=outputs: kept.append(o))
                made(ids)
                handle.remove()
            assert 0.4 < (outputs[0] == 0).float().mean().item() < 0.6


def test_a_run_with_dropout_evaluates_without_and_resumes_bit_for_bit(parts, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    plain = go(parts[1], tmp_path / "plain")
    whole = go(parts[1], tmp_path / "whole", DROPPED, validation=[source(parts[1]).next()])
    assert [r["loss"] for r in whole.history] != [r["loss"] for r in plain.history]
    again = evaluate(
        load_model(tmp_path / "whole"), NextToken(), [source(parts[1]).next()], torch.device("cpu")
    )
    assert again["loss"] == pytest.approx(whole.validation_loss, abs=1e-6)
    with pytest.raises(KeyboardInterrupt):
        go(parts[1], tmp_path / "cut", DROPPED, on_log=stop_at(13))
    go(parts[1], tmp_path / "cut", DROPPED, validation=[source(parts[1]).next()])
    whole_state, cut_state = (everything(tmp_path / name) for name in ("whole", "cut"))
    assert_same(whole_state, cut_state)
    with pytest.raises(ConfigError, match=r"loop.dropout was 0.25, is 0.0"):
        go(parts[1], tmp_path / "cut")


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none(share: float) -> None:
    with pytest.raises(ConfigError, match=r"--loop\.dropout"):
        LoopConfig(dropout=share)


def test_processes_and_steps_draw_apart_and_a_step_again_the_same() -> None:
    def drawn(*place: int) -> float:
        seed_draws(*place)
        return float(torch.rand(1))

    places = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    assert len({drawn(*place) for place in places}) == len(places)
    assert drawn(0, 1, 0) == drawn(0, 1, 0)
