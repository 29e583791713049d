"""What the server counts, for Prometheus and for its page."""

import time
from collections import deque
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from shizuku.serving.served import Registry

FIRST_TOKEN = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
EACH_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
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
        self.cached_tokens = Counter(
            "shizuku_prompt_tokens_cached",
            "Tokens of prompts that were in the cache.",
            ["model"],
            registry=self.registry,
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
        self.registry.register(_Loads(models))

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


class _Loads:
    """Asks the drivers when Prometheus asks."""

    def __init__(self, models: Registry) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        named = {
            "running": "Sequences that are being continued.",
            "waiting": "Sequences that wait for their turn.",
            "blocks_used": "Cache blocks that hold something.",
            "blocks": "Cache blocks that there are.",
        }
        loads = [(model.name, model.driver.load()) for model in self._models]
        for name, text in named.items():
            metric = "shizuku_" + ("cache_" if name.startswith("blocks") else "sequences_") + name
            family = GaugeMetricFamily(metric, text, labels=["model"])
            for model, load in loads:
                family.add_metric([model], getattr(load, name))
            yield family
