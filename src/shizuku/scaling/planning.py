"""Choosing a model's size and its tokens for the time one has, on the machine one has.

Each shape of a ladder gets the tokens that this machine can train it on in the given time; the law turns
(parameters, tokens) into a predicted loss; the shape with the lowest wins. Small models use a processor less
well than large ones, so a few shapes are timed and the others' speeds are interpolated between them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shizuku.errors import ConfigError
from shizuku.scaling.laws import CHINCHILLA_REFIT, ScalingLaw, effective_tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """One rung of the ladder: a decoder's size, without its vocabulary."""

    layers: int
    width: int

    @property
    def name(self) -> str:
        """The shape as people write it, layers by width."""
        return f"{self.layers}x{self.width}"


LADDER = tuple(
    Shape(layers=layers, width=width)
    for layers, width in (
        (3, 64), (4, 96), (4, 128), (5, 160), (6, 192), (6, 256), (8, 320), (8, 384),
        (10, 512), (12, 640), (12, 768), (16, 1024), (24, 1024), (24, 1536), (24, 2048),
    )
)  # fmt: skip
"""Widths in steps of about 1.3, depth rising slowly, from 0.1 M to 1.2 B parameters without embeddings."""
TIMED_FIRST = LADDER[3]


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """What one shape would come to in the time given."""

    shape: Shape
    parameters: int
    flops_per_token: float
    tokens_per_second: float
    measured: bool
    tokens: int
    predicted_loss: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The chosen shape and tokens, with every candidate that was weighed."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    law: str
    seconds: float
    unique_tokens: int

    def explain(self) -> str:
        """Why this size: one paragraph for a person."""
        best = self.chosen
        passes = best.tokens / max(self.unique_tokens, 1)
        return (
            f"In {self.seconds:.0f} s this machine trains a {best.shape.name} model "
            f"({best.parameters:,} parameters) on {best.tokens:,} tokens "
            f"at {best.tokens_per_second:,.0f} tokens/s: "
            f"{passes:.2f} passes over {self.unique_tokens:,} tokens, "
            f"{best.tokens / best.parameters:.1f} tokens a parameter. "
            f"Of {len(self.candidates)} shapes it has the lowest loss by the compute law "
            f"({self.law}; repeated passes counted at their lower worth)."
        )


def make_plan(
    *,
    seconds: float,
    unique_tokens: int,
    parameters: Callable[[Shape], int],
    flops_per_token: Callable[[Shape], float],
    measure: Callable[[Shape], float],
    law: ScalingLaw = CHINCHILLA_REFIT,
    ladder: Sequence[Shape] = LADDER,
) -> Plan:
    """Weigh the ladder for `seconds` of training; `measure(shape)` times a shape here, in tokens a second.

    The search times the shape in the middle of the affordable range first, then the predicted best and its
    neighbours until the best shape is one that was timed.
    """
    if seconds <= 0 or unique_tokens <= 0:
        raise ConfigError(f"nothing to plan with {seconds:.0f} s and {unique_tokens} tokens: raise --minutes")
    flops = {shape: flops_per_token(shape) for shape in ladder}
    sizes = {shape: parameters(shape) for shape in ladder}
    timed: dict[Shape, float] = {}

    def weigh() -> list[Candidate]:
        speeds = {shape: timed.get(shape) or _interpolate(timed, flops, shape) for shape in ladder}
        return [
            _candidate(s, sizes[s], flops[s], speeds[s], s in timed, seconds, unique_tokens, law)
            for s in ladder
        ]

    shape = TIMED_FIRST if TIMED_FIRST in ladder else ladder[-1]
    while True:
        timed[shape] = measure(shape)
        best = min(weigh(), key=lambda candidate: candidate.predicted_loss)
        if best.measured:
            break
        shape = best.shape
    return Plan(
        chosen=best, candidates=tuple(weigh()), law=law.name, seconds=seconds, unique_tokens=unique_tokens
    )


def _candidate(
    shape: Shape,
    parameters: int,
    flops: float,
    speed: float,
    measured: bool,
    seconds: float,
    unique_tokens: int,
    law: ScalingLaw,
) -> Candidate:
    tokens = max(int(speed * seconds), 1)
    return Candidate(
        shape=shape,
        parameters=parameters,
        flops_per_token=flops,
        tokens_per_second=speed,
        measured=measured,
        tokens=tokens,
        predicted_loss=law.loss(parameters, effective_tokens(tokens, unique_tokens)),
    )


def _interpolate(timed: Mapping[Shape, float], flops: Mapping[Shape, float], shape: Shape) -> float:
    """Speed of a shape that was not timed: FLOP/s between its timed neighbours, linear in log size."""
    known = sorted((flops[s], speed * flops[s]) for s, speed in timed.items())
    size = flops[shape]
    if size <= known[0][0]:
        return known[0][1] / size
    for (low, low_rate), (high, high_rate) in pairwise(known):
        if size <= high:
            share = math.log(size / low) / math.log(high / low)
            return (low_rate + share * (high_rate - low_rate)) / size
    return known[-1][1] / size
