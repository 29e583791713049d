"""A job of one process is none, and half the environment of one is a mistake."""

import pytest
import torch
from training_parts import model

from shizuku import cli
from shizuku.errors import ConfigError
from shizuku.training.distribution import any_of_ranks, first_to_tell, job, mean_over_ranks, place
from shizuku.training.sharding import spread, whole_weights


def test_alone_nothing_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with job():
        assert place() == (0, 1) and not torch.distributed.is_initialized()
        assert any_of_ranks(True, False) == [True, False] and mean_over_ranks(2.5) == 2.5
        made = model()
        before = {name: weight.clone() for name, weight in made.state_dict().items()}
        spread(made, "fsdp")
        after = whole_weights(made)
    assert all(torch.equal(before[name], after[name]) for name in before) and first_to_tell()


def test_verbs_that_share_no_work_are_not_for_torchrun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    assert cli.run(["list"]) == 2
    assert "torchrun is for train" in capsys.readouterr().err


def test_half_an_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with (
        pytest.raises(
            ConfigError, match=r"WORLD_SIZE=4.*RANK, MASTER_ADDR, MASTER_PORT is not set.*torchrun"
        ),
        job(),
    ):
        pass
    assert first_to_tell(), "with nobody to agree with, an error is told"
