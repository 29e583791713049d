"""What the server counts, for Prometheus and for its page."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from shizuku.inference.statistics import Statistics
from shizuku.serving.served import Registry

FIRST_TOKEN = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
EACH_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
ENGINE_NUMBERS: Mapping[str, tuple[Any, str, Callable[[Statistics], float]]] = {
    "sequences_running": (GaugeMetricFamily, "Sequences that are continued.", lambda s: s.running),
    "sequences_waiting": (GaugeMetricFamily, "Sequences that wait for their turn.", lambda s: s.waiting),
    "sequences_refused": (CounterMetricFamily, "Sequences that found the queue full.", lambda s: s.refused),
    "cache_blocks": (GaugeMetricFamily, "Cache blocks that memory was taken for.", lambda s: s.blocks),
    "cache_blocks_most": (GaugeMetricFamily, "Cache blocks that there may be.", lambda s: s.blocks_most),
    "cache_blocks_used": (GaugeMetricFamily, "Cache blocks that sequences hold.", lambda s: s.blocks_used),
    "cache_blocks_reusable": (
        GaugeMetricFamily,
        "Cache blocks that nobody holds, kept for prompts that begin alike.",
        lambda s: s.blocks_cached,
    ),
    "prompt_tokens_read": (CounterMetricFamily, "Tokens of prompts read.", lambda s: s.prompt_tokens),
    "prompt_tokens_reused": (
        CounterMetricFamily,
        "Tokens of prompts that were in the cache.",
        lambda s: s.reused_tokens,
    ),
    "tokens_guessed": (CounterMetricFamily, "Tokens guessed ahead.", lambda s: s.guessed_tokens),
    "tokens_guessed_right": (CounterMetricFamily, "Of these, right ones.", lambda s: s.right_guesses),
    "preemptions": (CounterMetricFamily, "Times a sequence gave its cache back.", lambda s: s.preemptions),
    "engine_steps": (CounterMetricFamily, "Forward passes.", lambda s: s.steps),
    "engine_step_seconds": (CounterMetricFamily, "Time in them.", lambda s: s.step_seconds),
}
SPEED_SECONDS = 5.0
"""Tokens per second are those of this many last seconds."""


class Metrics:
    """Counters of one server."""

    def __init__(self, models: Registry) -> None:
        self._begun = time.monotonic()
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "shizuku_requests", "Requests answered.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "shizuku_request_seconds", "How long requests took.", ["route"], registry=self.registry
        )
        self.prompt_tokens = Counter(
            "shizuku_prompt_tokens", "Tokens of prompts.", ["model"], registry=self.registry
        )
        self.made_tokens = Counter(
            "shizuku_generated_tokens", "Tokens made.", ["model"], registry=self.registry
        )
        self.in_flight = Gauge(
            "shizuku_requests_in_flight", "Requests being answered.", registry=self.registry
        )
        self.first_token = Histogram(
            "shizuku_time_to_first_token_seconds",
            "From the request to its first token.",
            ["model"],
            buckets=FIRST_TOKEN,
            registry=self.registry,
        )
        self.each_token = Histogram(
            "shizuku_time_per_token_seconds",
            "Between tokens of one sequence.",
            ["model"],
            buckets=EACH_TOKEN,
            registry=self.registry,
        )
        self._recent: dict[str, deque[tuple[float, int]]] = {model.name: deque() for model in models}
        self.registry.register(_Engines(models))

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one request; status 0 is one whose client left before it was answered."""
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def made(self, model: str, tokens: int) -> None:
        """Count tokens that were made just now."""
        self.made_tokens.labels(model).inc(tokens)
        now, recent = time.monotonic(), self._recent[model]
        recent.append((now, tokens))
        while now - recent[0][0] > SPEED_SECONDS:
            recent.popleft()

    def speeds(self, model: str) -> dict[str, float]:
        """`tokens_per_second` over the last seconds, from the first token in them until now."""
        now = time.monotonic()
        recent = [(at, tokens) for at, tokens in self._recent[model] if now - at <= SPEED_SECONDS]
        if len(recent) < 2:
            return {"tokens_per_second": 0.0}
        interval = max(now - recent[0][0], 0.05)
        made = sum(tokens for _, tokens in recent[1:])
        return {"tokens_per_second": round(made / interval, 2)}

    def uptime(self) -> float:
        """Seconds since the server began."""
        return time.monotonic() - self._begun

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _Engines:
    """Asks the engines when Prometheus asks."""

    def __init__(self, models: Registry) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """One family for each of the numbers below, with a value for each model."""
        found = [(model.name, model.engine.statistics()) for model in self._models.bases()]
        for name, (form, text, value) in ENGINE_NUMBERS.items():
            family = form(f"shizuku_{name}", text, labels=["model"])
            for model, statistics in found:
                family.add_metric([model], value(statistics))
            yield family
