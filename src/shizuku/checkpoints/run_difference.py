"""Two run records side by side: what differs in settings, data, code and result."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shizuku.checkpoints.directory import checkpoint_digest, load_run, resolve
from shizuku.checkpoints.huggingface import read_json
from shizuku.checkpoints.kinds import is_adapter
from shizuku.errors import CheckpointError

SEEDS = "seeds.json"
"""The record of a run over several seeds, in the form of a run record."""
PLACES = frozenset({"out", "json", "dry_run", "loop.resume"})
"""Settings that say where and how a run was started, not what it does."""
Pair = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two runs; a value that only one of them has is None in the other."""

    first: str
    second: str
    config: dict[str, Pair]
    """Settings by dotted name, but for those that only say where the run was put."""
    data: dict[str, Pair]
    """Digests, sizes and the split of the text."""
    code: dict[str, Pair]
    """Version, git revision, and the checkpoint that training began with."""
    result: dict[str, Pair]
    """What the runs came to."""
    same_weights: bool
    """Whether config and weights are the same, byte for byte."""
    losses_differ_at_step: int | None
    """First logged step whose losses differ; None where none does, or where nothing was logged by both."""

    def to_dict(self) -> dict[str, object]:
        """As plain values."""
        return asdict(self)


def compare_runs(first: str, second: str) -> Difference:
    """Compare the records of two runs; CheckpointError for a model without one."""
    places = [_place(name) for name in (first, second)]
    records = [_record(place) for place in places]
    config, data, code, result = (
        _differences(*(part(record) for record in records)) for part in (_config, _data, _code, _result)
    )
    digests = [
        checkpoint_digest(place) if (place / "config.json").is_file() or is_adapter(place) else None
        for place in places
    ]
    return Difference(
        first=first,
        second=second,
        config=config,
        data=data,
        code=code,
        result=result,
        same_weights=digests[0] is not None and digests[0] == digests[1],
        losses_differ_at_step=_first_different(*(_losses(place) for place in places)),
    )


def _place(name: str) -> Path:
    return Path(name) if (Path(name) / SEEDS).is_file() else resolve(name, allow_pull=False)


def _record(place: Path) -> dict[str, Any]:
    record = read_json(place / SEEDS) if (place / SEEDS).is_file() else load_run(place)
    if not record:
        raise CheckpointError(
            f"{place} has no run record (run.json): only what Shizuku trained can be compared"
        )
    return record


def _config(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in _flat(record.get("config")).items() if name not in PLACES}


def _data(record: Mapping[str, Any]) -> dict[str, Any]:
    return _flat(record.get("data"))


def _code(record: Mapping[str, Any]) -> dict[str, Any]:
    return _flat({name: record.get(name) for name in ("shizuku", "git", "parent")})


def _result(record: Mapping[str, Any]) -> dict[str, Any]:
    return _flat(record.get("metrics"))


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, by dotted names; lists are values."""
    if not isinstance(value, Mapping):
        return {} if value is None and not prefix else {prefix: value}
    found: dict[str, Any] = {}
    for name, item in value.items():
        found |= _flat(item, f"{prefix}.{name}" if prefix else str(name))
    return found


def _differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Pair]:
    names = [*left, *(name for name in right if name not in left)]
    return {name: (left.get(name), right.get(name)) for name in names if left.get(name) != right.get(name)}


def _losses(place: Path) -> dict[int, float]:
    """The training losses in metrics.jsonl by step; lines that a kill cut short are passed over."""
    try:
        lines = (place / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    losses = {}
    for line in lines:
        try:
            record = json.loads(line)
            losses[int(record["step"])] = float(record["loss"])
        except (ValueError, KeyError, TypeError):
            continue
    return losses


def _first_different(left: Mapping[int, float], right: Mapping[int, float]) -> int | None:
    return next((step for step in sorted(left.keys() & right.keys()) if left[step] != right[step]), None)
