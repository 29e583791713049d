"""Whether something fits into memory, asked before it is tried."""

from pathlib import Path

from shizuku.errors import CheckpointError

_CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)
"""Limit and use of the container that this process runs in: version 2 of the interface, and version 1."""


def available_memory() -> int:
    """Bytes that this process can still have: of the machine, and of its container if that has a limit."""
    free = _of_machine()
    for limit_file, use_file in _CGROUPS:
        try:
            limit, use = limit_file.read_text().strip(), use_file.read_text().strip()
            cached = _reclaimable(use_file.with_name("memory.stat").read_text())
        except OSError:
            continue
        if limit.isdigit():
            free = min(free, max(int(limit) - int(use) + cached, 0))
    return free


def _of_machine() -> int:
    # Linux says it in one line of a file; psutil, which reads the same line there, takes longer to import.
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    import psutil

    return int(psutil.virtual_memory().available)


def _reclaimable(statistics: str) -> int:
    """Bytes of files that the container has read and that the system takes back as soon as it needs them."""
    rows = dict(line.split(maxsplit=1) for line in statistics.splitlines() if " " in line)
    return int(rows.get("total_inactive_file", rows.get("inactive_file", 0)))


def check_fits(what: str, needed: int) -> None:
    """Refuse with CheckpointError, naming both figures, if `needed` bytes are more than are available."""
    free = available_memory()
    if needed > free:
        raise CheckpointError(
            f"{what} needs about {readable(needed)} of memory, but {readable(free)} are available: "
            "end other programs, or take a smaller model"
        )


def readable(count: float) -> str:
    """A number of bytes for people, in decimal units."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
