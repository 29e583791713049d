"""A place that one process keeps to itself."""

import multiprocessing
from pathlib import Path

import pytest

from shizuku.checkpoints.locking import LOCKS, alone_in
from shizuku.errors import CheckpointError

pytestmark = pytest.mark.skipif(not LOCKS, reason="this system has no such locks")


def held(place: Path, begun, end) -> None:
    with alone_in(place) as ours:
        begun.put(ours)
        end.wait(30)


def test_another_process_is_kept_out_until_the_first_ends_however_it_ends(tmp_path) -> None:
    place, context = tmp_path / "new" / "run", multiprocessing.get_context("fork")
    for way in ("over", "killed"):
        begun, end = context.Queue(), context.Event()
        process = context.Process(target=held, args=(place, begun, end))
        process.start()
        assert begun.get(timeout=30)
        with alone_in(place) as ours:
            assert not ours
        process.kill() if way == "killed" else end.set()
        process.join(30)
        with alone_in(place) as ours, alone_in(place / ".." / "run") as again:
            assert ours and again
        assert not list(place.parent.iterdir()), "the lock is gone"


def test_a_place_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot write"), alone_in(tmp_path / "file" / "run"):
        pass
