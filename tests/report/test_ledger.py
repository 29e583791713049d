"""Runs that are written down one by one, and found again."""

from pathlib import Path

import pytest

from shizuku.errors import ConfigError
from shizuku.report.ledger import Ledger


def test_runs_are_found_again_by_their_key(tmp_path: Path) -> None:
    path = tmp_path / "some" / "runs.jsonl"
    ledger = Ledger(path)
    ledger.add({"model": "雫", "seed": 0}, {"bits": 1.5})
    ledger.add({"seed": 1, "model": "雫"}, {"bits": 2.5})
    again = Ledger(path)
    assert {"seed": 0, "model": "雫"} in again and {"model": "雫", "seed": 2} not in again
    assert [(key["seed"], figures["bits"]) for key, figures in again] == [(0, 1.5), (1, 2.5)]


def test_a_line_that_was_cut_short_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    Ledger(path).add({"seed": 0}, {"bits": 1.5})
    with path.open("a", encoding="utf-8") as file:
        file.write('{"key": {"see')
    ledger = Ledger(path)
    assert {"seed": 0} in ledger
    ledger.add({"seed": 1}, {"bits": 2.5})
    assert len(list(Ledger(path))) == 2


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"seed": 0}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="line 1: expected a run with its key and figures"):
        Ledger(path)


def test_a_line_cut_inside_a_letter_is_taken_away(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs.jsonl")
    ledger.add({"model": "一"}, {"loss": 1.0})
    ledger.add({"model": "日本"}, {"loss": 2.0})
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole[: whole.index("日".encode()) + 1])
    again = Ledger(ledger.path)
    assert {"model": "一"} in again and {"model": "日本"} not in again
    again.add({"model": "日本"}, {"loss": 2.0})
    assert ledger.path.read_bytes() == whole
