"""What the two text endpoints share: from engine requests to choices on their way out."""

import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from shizuku.inference.requests import Request, Step
from shizuku.serving.choices import Choice, Piece
from shizuku.serving.metrics import Metrics
from shizuku.serving.served import ServedModel
from shizuku.serving.steps import Steps


@dataclass(slots=True, eq=False)
class Answering:
    """The choices of one request while they are made."""

    model: ServedModel
    requests: Sequence[Request]
    choices: list[Choice]
    seconds: float
    """Longest time that making them may take."""
    prompt_tokens: int
    """Tokens of all prompts, each counted once."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))
    _steps: Steps | None = None
    _metrics: Metrics | None = None
    _begun: float = 0.0
    _last: dict[int, float] = field(default_factory=dict)

    def begin(self, metrics: Metrics) -> None:
        """Hand everything to the engine; ApiError 429 where there is no room. Then `close` is due."""
        self._begun = time.monotonic()
        self._metrics = metrics
        self._steps = Steps(self.model.engine, self.requests, seconds=self.seconds)
        metrics.prompt_tokens.labels(self.model.name).inc(self.prompt_tokens)

    def close(self) -> None:
        """Stop the model where it still works on this."""
        if self._steps is not None:
            self._steps.close()

    def end(self, number: int) -> None:
        """The caller has enough of one choice."""
        assert self._steps is not None, "begin() comes first"
        self._steps.finish(number)

    def interrupt(self, error: Exception) -> None:
        """End it now, with this error."""
        if self._steps is not None:
            self._steps.interrupt(error)

    async def pieces(self) -> AsyncIterator[tuple[int, Piece]]:
        """What becomes certain, choice by choice, until each has ended."""
        assert self._steps is not None, "begin() comes first"
        async for batch in self._steps:
            self._measure(batch)
            merged: dict[int, Piece] = {}
            for number, step in batch:
                piece = self.choices[number].push(step)
                if piece.finish:
                    self._steps.finish(number)
                merged[number] = _joined(merged.get(number), piece)
            for number, piece in merged.items():
                if piece.text or piece.steps or piece.finish:
                    yield number, piece

    def _measure(self, batch: Sequence[tuple[int, Step]]) -> None:
        """Count the tokens of a batch, and how long each sequence took for its own."""
        assert self._metrics is not None
        made = Counter(number for number, step in batch if not step.prompt and step.token_id >= 0)
        if not made:
            return
        now, name = time.monotonic(), self.model.name
        for number, tokens in made.items():
            before = self._last.get(number)
            if before is None:
                self._metrics.first_token.labels(name).observe(now - self._begun)
            else:
                for _ in range(tokens):
                    self._metrics.each_token.labels(name).observe((now - before) / tokens)
            self._last[number] = now
        self._metrics.made(name, made.total())

    async def wholes(self) -> list[Piece]:
        """Every choice when all have ended."""
        found = [Piece() for _ in self.choices]
        async for number, piece in self.pieces():
            found[number] = _joined(found[number], piece)
        return found

    def usage(self) -> dict[str, Any]:
        """Token counts so far."""
        made = sum(choice.tokens for choice in self.choices)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": made,
            "total_tokens": self.prompt_tokens + made,
            "prompt_tokens_details": {"cached_tokens": self._steps.cached_tokens if self._steps else 0},
        }


def _joined(before: Piece | None, piece: Piece) -> Piece:
    if before is None:
        return piece
    return Piece(
        before.text + piece.text,
        before.steps + piece.steps,
        before.offsets + piece.offsets,
        piece.finish or before.finish,
    )
