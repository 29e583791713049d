"""Stages of a life: each has a budget, is timed, and once done is not done again by a resumed run."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shizuku.errors import ConfigError, ShizukuError
from shizuku.progress import say

RECORD = "life.json"
LASTING = "train"
"""Where an error comes before this stage, as from a mistyped --text, one mends it and begins anew: there is
no life to resume yet.
"""


class Stages:
    """Runs stages in order and keeps their results in `life.json`: a killed life goes on where it was.

    A stage's function returns plain JSON values; whatever else it makes, it leaves in files.
    """

    def __init__(self, directory: Path, config: dict[str, Any], *, resume: bool) -> None:
        self.directory = directory
        self._path = directory / RECORD
        self._started = time.monotonic()
        self.record: dict[str, Any] = {"config": config, "stages": {}}
        if self._path.is_file():
            self._take_up(config, resume)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"--out {directory} cannot be made a folder ({error.strerror}): choose another place"
            ) from error
        self._earlier = sum(stage["seconds"] for stage in self.record["stages"].values())
        self._write()

    def run(self, name: str, budget: float, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The result of the stage `name`: from the record if it is there, else from calling `work`.

        `budget` is in seconds and is printed beside what the stage took.
        """
        done: dict[str, Any] | None = self.record["stages"].get(name)
        if done is not None:
            say(f"{name:<10} done before ({done['seconds']:.0f} s)")
            return dict(done["result"])
        say(f"{name:<10} budget {budget:5.0f} s …")
        started = time.monotonic()
        try:
            result = work()
        except ShizukuError:
            if name != LASTING and LASTING not in self.record["stages"]:
                self._path.unlink(missing_ok=True)
            raise
        seconds = time.monotonic() - started
        over = "" if seconds <= budget * 1.1 + 1 else "  (over budget)"
        say(f"{'':<10} took   {seconds:5.1f} s{over}")
        self.record["stages"][name] = {"budget": budget, "seconds": seconds, "result": result}
        self._write()
        return result

    @property
    def elapsed(self) -> float:
        """Seconds spent so far, those of interrupted runs included as far as their stages were finished."""
        return self._earlier + time.monotonic() - self._started

    @property
    def times(self) -> list[tuple[str, float, float]]:
        """Each finished stage with its budget and what it took, in seconds."""
        return [(name, s["budget"], s["seconds"]) for name, s in self.record["stages"].items()]

    def _take_up(self, config: dict[str, Any], resume: bool) -> None:
        try:
            earlier = json.loads(self._path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(
                f"{self._path}: damaged ({error}); choose another --out or remove it"
            ) from error
        if not resume:
            raise ConfigError(f"--out {self.directory}: a life is there already; --resume goes on with it")
        changed = [key for key in config if earlier["config"].get(key) != config[key]]
        if changed:
            raise ConfigError(
                f"--resume: this life was begun with other settings ({', '.join(changed)}); "
                "give the same ones, or another --out"
            )
        self.record = earlier

    def _write(self) -> None:
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.record, ensure_ascii=False, indent=1), encoding="utf-8")
        temporary.replace(self._path)
