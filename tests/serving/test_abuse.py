"""A small run of `benchmarks/server_abuse.py`: nothing that a client sends hurts the server or others."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from live_server import running

from tiny_language_model import tiny_lm


@pytest.fixture(scope="module")
def abuse() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "server_abuse.py"
    spec = importlib.util.spec_from_file_location("server_abuse", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # schemathesis does
def test_strange_requests_hurt_nobody(abuse: ModuleType) -> None:
    limits = {
        "max_body_bytes": 100_000,
        "request_seconds": 10,
        "body_seconds": 0.3,
        "stall_seconds": 0.5,
        "max_choices": 4,
        "running": 8,
    }
    with running({"tiny": tiny_lm()}, **limits) as live:
        target = abuse.Target(live.url, patience=0.3)
        with abuse.bystander(target) as seconds:
            counts = abuse.broken(target, 6 * len(abuse.KINDS), 0)
            counts += abuse.fuzz(target, 6, 0)
        abuse.idle(target)
        statistics = next(iter(live.models)).engine.statistics()
        assert statistics.ended.get("error", 0) == 0
    statuses = {name.rpartition(" ")[2] for name in counts}
    assert {"200", "400", "404", "405", "408", "413"} <= statuses
    assert sum(count for name, count in counts.items() if name.endswith(" 200")) > 15
    assert len(seconds) > 10 and max(seconds) < 5
