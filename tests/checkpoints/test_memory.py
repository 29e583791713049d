"""How much memory is left, in a container too."""

from pathlib import Path

import pytest

from shizuku.checkpoints import memory


def test_files_that_a_container_has_read_do_not_count_as_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, use = tmp_path / "memory.max", tmp_path / "memory.current"
    limit.write_text("1000000\n")
    use.write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 200000\nfile 700000\ninactive_file 650000\n")
    monkeypatch.setattr(memory, "_CGROUPS", ((limit, use),))
    assert memory.available_memory() == 750_000
    limit.write_text("max\n")
    assert memory.available_memory() > 1_000_000, "no limit: what the machine has"
