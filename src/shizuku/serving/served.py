"""The models that one server has."""

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shizuku.checkpoints.weights import expected_shapes
from shizuku.errors import ConfigError
from shizuku.models.ngram import NGramModel
from shizuku.serving.faults import ApiError

if TYPE_CHECKING:
    from shizuku.inference.engine import Engine
    from shizuku.language_model import LanguageModel
    from shizuku.text.tokenizer import Tokenizer

MOST_TURNS = 32


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model under the name by which clients ask for it."""

    name: str
    """Its `model` in requests."""
    lm: "LanguageModel"
    """The model itself."""
    created: int = field(default_factory=lambda: int(time.time()))
    """When it was loaded, in seconds since 1970."""
    turns: "Turns" = field(default_factory=lambda: Turns())
    """For what is no continuation: vectors and attention."""
    parent: str | None = None
    """Of an adapter: the name of the model that it is on, whose engine it shares."""

    @property
    def engine(self) -> "Engine":
        """What continues its sequences."""
        return self.lm.engine

    @property
    def tokenizer(self) -> "Tokenizer":
        """Its tokenizer."""
        return self.lm.tokenizer

    @property
    def context(self) -> int:
        """Most tokens of one sequence: its window, or what the cache holds if that is less."""
        return min(self.lm.context, self.engine.capacity)

    def card(self) -> dict[str, Any]:
        """What GET /v1/models says of it: OpenAI's fields, and what a page can show beside them."""
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "shizuku",
            "context_length": self.context,
            "capabilities": sorted(self.lm.capabilities),
            "vocab_size": self.tokenizer.vocab_size,
            **sizes(self.lm),
            **({} if self.parent is None else {"parent": self.parent}),
        }


def sizes(lm: "LanguageModel") -> dict[str, int]:
    """`parameters` of a model, and the `bytes` that they take."""
    runtime: Any = lm.runtime
    module = getattr(runtime, "model", None)
    if isinstance(module, NGramModel):
        return {"parameters": module.numbers, "bytes": module.nbytes}
    config = runtime.config if module is None else module.config
    parameters = sum(math.prod(shape) for shape in expected_shapes(config).values())
    if module is not None:
        return {"parameters": parameters, "bytes": sum(p.nbytes for p in module.parameters())}
    return {"parameters": parameters, "bytes": runtime.weight_bytes}


class Turns:
    """One at a time, and not more than so many who wait for it."""

    def __init__(self, most: int = MOST_TURNS) -> None:
        self._lock, self._waiting, self._most = asyncio.Lock(), 0, most

    async def __aenter__(self) -> None:
        """Wait for one's turn; ApiError 429 where too many do already."""
        if self._waiting >= self._most:
            raise ApiError(
                429,
                f"The server is full: {self._waiting} requests of this kind wait already.",
                code="rate_limit_exceeded",
                headers={"Retry-After": "2"},
            )
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1

    async def __aexit__(self, *problem: object) -> None:
        """Let the next one in."""
        self._lock.release()


class Registry:
    """The models of one server by name."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        """ConfigError for two models of one name."""
        self._models: dict[str, ServedModel] = {}
        for model in models:
            if model.name in self._models:
                raise ConfigError(
                    f"two of the models would be called {model.name!r}: give one another name with NAME=MODEL"
                )
            self._models[model.name] = model

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def bases(self) -> list[ServedModel]:
        """Those that are no adapters: each has an engine of its own."""
        return [model for model in self if model.parent is None]

    def find(self, name: str | None) -> ServedModel:
        """The model asked for; ApiError 404 if there is none of that name, 400 if none was named.

        Where one model is served, it needs no name, whatever adapters it has.
        """
        bases = self.bases()
        if name is None and len(bases) == 1:
            return bases[0]
        there = ", ".join(self._models)
        if name is None:
            raise ApiError(
                400,
                f"Missing required parameter: 'model'. Served here: {there}.",
                param="model",
                code="missing_required_parameter",
            )
        found = self._models.get(name)
        if found is None:
            raise ApiError(
                404,
                f"The model {name[:200]!r} does not exist. Served here: {there}.",
                param="model",
                code="model_not_found",
            )
        return found


def check_names(models: Sequence[str], adapters: Sequence[str] = ()) -> None:
    """ConfigError for two models or adapters of one name, and for adapters of an unclear base."""
    if adapters and len(models) > 1:
        raise ConfigError(
            f"--adapter {adapters[0]}: with {len(models)} models it isn't clear which it is for: serve one"
        )
    names = [split_name(given)[0] for given in (*models, *adapters)]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(
            f"two of the models would be called {twice[0]!r}: give one another name with NAME=MODEL"
        )


def split_name(given: str) -> tuple[str, str]:
    """The name under which a model is served, and where it is: `NAME=MODEL`, or both in one."""
    name, equals, place = given.partition("=")
    if equals and name and "/" not in name:
        return name, place
    path = Path(given)
    return (path.stem if path.suffix == ".gguf" else path.name or given), given
