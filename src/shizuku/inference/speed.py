"""How fast a runtime reads prompts and makes tokens, counted as llama-bench counts."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from shizuku.errors import ConfigError
from shizuku.inference.runtime import Runtime, Span


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second of one round."""

    prefill: float
    """Of a prompt read in one piece."""
    decode: float
    """Of one sequence made token by token, from an empty cache."""


def measure(runtime: Runtime, *, prompt: int, made: int, rounds: int) -> Iterator[Speed]:
    """Yield the speed of each of `rounds` rounds over random ids, after one that only warms up.

    ConfigError where the prompt or what is made does not fit the context.
    """
    for flag, tokens in (("--prompt-tokens", prompt), ("--new-tokens", made)):
        if not 1 <= tokens <= runtime.context:
            raise ConfigError(f"{flag} {tokens}: expected 1 to {runtime.context}, the context length")
    runtime.reserve(-(-max(prompt, made) // runtime.block_tokens))
    blocks = list(range(runtime.blocks))
    ids = np.random.default_rng(0).integers(0, runtime.vocab_size, max(prompt, made)).tolist()
    runtime.forward([Span(ids[: min(8, prompt)], 0, blocks)])
    for _ in range(rounds):
        begin = time.perf_counter()
        runtime.forward([Span(ids[:prompt], 0, blocks)])
        between = time.perf_counter()
        for at in range(made):
            runtime.forward([Span(ids[at : at + 1], at, blocks)])
        yield Speed(prompt / (between - begin), made / (time.perf_counter() - between))


def median(rounds: list[Speed]) -> Speed:
    """Return the medians of several rounds."""
    return Speed(
        statistics.median(one.prefill for one in rounds), statistics.median(one.decode for one in rounds)
    )
