"""Results of many runs, one JSON line each, so that a long table can be made in several sittings."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shizuku.errors import ConfigError

Key = Mapping[str, Any]
"""What tells a run from others: names and settings, as plain JSON values."""


class Ledger:
    """A file of runs: each line has the `key` of a run and its `figures`."""

    def __init__(self, path: Path) -> None:
        """Read the runs of `path`, if it is there; a last line that was cut short is taken away.

        ConfigError for a file that is something else.
        """
        self.path = path
        self._runs: dict[str, dict[str, Any]] = {}
        if path.is_file():
            whole, _, cut = path.read_bytes().rpartition(b"\n")  # a letter of several bytes may be cut too
            for number, line in enumerate(filter(None, whole.split(b"\n")), start=1):
                self._take(line, number)
            if cut:
                path.write_bytes(whole + b"\n" if whole else b"")

    def __contains__(self, key: Key) -> bool:
        """Whether this run is done."""
        return _text(key) in self._runs

    def __iter__(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Keys and figures, in the order in which the runs were done."""
        for key, figures in self._runs.items():
            yield json.loads(key), figures

    def add(self, key: Key, figures: Mapping[str, Any]) -> None:
        """Write down a run."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": dict(key), "figures": dict(figures)}, ensure_ascii=False) + "\n")
        self._runs[_text(key)] = dict(figures)

    def _take(self, line: bytes, number: int) -> None:
        try:
            record = json.loads(line)
            self._runs[_text(record["key"])] = dict(record["figures"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{self.path}, line {number}: expected a run with its key and figures; move the file away"
            ) from error


def _text(key: Key) -> str:
    return json.dumps(dict(key), sort_keys=True, ensure_ascii=False)
