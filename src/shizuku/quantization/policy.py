"""Different bits for different layers, so that a model of a given size loses as little as possible.

For each layer it is measured how much the model's predictions change when that layer alone has few bits (KL
divergence from the float model, nats a token); for its other candidates that is scaled by the error of its
outputs, of which the divergence is a quadratic function where it is small. Then bytes are spent where a byte
buys the largest fall, on the convex hull of each layer's candidates.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from shizuku.errors import ConfigError
from shizuku.models.decoder import Decoder
from shizuku.quantization.calibration import BlockByBlock, Inputs, Windows
from shizuku.quantization.matrices import quantize_matrix
from shizuku.quantization.scheme import MOST_CODEBOOK_BITS, Scheme
from shizuku.quantization.surgery import TABLES, pack_layer, put_layer
from shizuku.quantization.whole import output_table

BITS = (2, 3, 4, 5, 6, 8)
"""Bits that a layer may be given."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One scheme for one layer."""

    scheme: Scheme
    """How its matrix would be rounded."""
    bytes: int
    """What it would take."""
    divergence: float
    """How much the model's predictions would change, in nats a token, if this were the only layer."""


def candidates(
    model: Decoder,
    schemes: Mapping[str, Scheme],
    windows: Windows,
    *,
    bits: Sequence[int] = BITS,
    on_layer: Callable[[str], None] = lambda _: None,
) -> dict[str, list[Candidate]]:
    """Every layer's candidates: its scheme with each number of bits, smallest first, measured on `windows`.

    The model is as before afterwards. Rounding to nearest stands in for GPTQ while measuring.
    """
    exact = [_log_probabilities(model, ids, segments) for ids, segments in windows]
    found: dict[str, list[Candidate]] = {}
    for name, inputs in _inputs(model, schemes, windows):
        layer, weight = model.get_submodule(name), model.get_submodule(name).weight
        assert isinstance(weight, Tensor), f"{name} has a matrix"
        hessian_CC = None if inputs is None else inputs.hessian(name)
        trials = [replace(schemes[name], bits=count) for count in _possible(schemes[name], bits)]
        rounded = [quantize_matrix(weight, _plain(trial), hessian_CC) for trial in trials]
        errors = [r.weight_error if r.output_error is None else r.output_error for r in rounded]
        pack_layer(model, name, rounded[0].layout, rounded[0].arrays)
        try:
            divergence = _divergence(model, exact, windows)
        finally:
            put_layer(model, name, layer)
        found[name] = [
            Candidate(trial, r.layout.bytes, divergence * error / max(errors[0], 1e-30))
            for trial, r, error in zip(trials, rounded, errors, strict=True)
        ]
        on_layer(name)
    return found


def allot(found: Mapping[str, Sequence[Candidate]], budget: int) -> dict[str, Candidate]:
    """The candidate of each layer: within the budget together, and with a small sum of divergences.

    ConfigError where even the smallest candidates are too large together.
    """
    chosen = {name: min(options, key=lambda one: one.bytes) for name, options in found.items()}
    left = budget - sum(one.bytes for one in chosen.values())
    if left < 0:
        raise ConfigError(
            f"--target-bytes: the matrices take at least {budget - left:,} bytes and {budget:,} are left for "
            "them: allow more, larger groups, or fewer matrices in float (--keep)"
        )
    steps = [step for name in found if (step := _next_step(name, found[name], chosen[name])) is not None]
    heapq.heapify(steps)
    while steps:
        _, name, better = heapq.heappop(steps)
        cost = better.bytes - chosen[name].bytes
        if cost > left:
            continue
        chosen[name], left = better, left - cost
        following = _next_step(name, found[name], better)
        if following is not None:
            heapq.heappush(steps, following)
    return chosen


def _next_step(
    name: str, options: Sequence[Candidate], now: Candidate
) -> tuple[float, str, Candidate] | None:
    """The larger candidate with the largest fall for a byte; the fall is negated, so that it sorts first."""
    larger = [one for one in options if one.bytes > now.bytes and one.divergence < now.divergence]
    if not larger:
        return None

    def fall(one: Candidate) -> float:
        return (now.divergence - one.divergence) / (one.bytes - now.bytes)

    best = max(larger, key=fall)
    return -fall(best), name, best


def _possible(scheme: Scheme, bits: Sequence[int]) -> list[int]:
    most = MOST_CODEBOOK_BITS if scheme.method == "codebook" else max(bits)
    return sorted(count for count in set(bits) if count <= most)


def _plain(scheme: Scheme) -> Scheme:
    """The scheme with rounding to nearest in GPTQ's place."""
    return scheme if scheme.method == "codebook" else replace(scheme, method="rtn")


def _inputs(
    model: Decoder, schemes: Mapping[str, Scheme], windows: Windows
) -> Iterator[tuple[str, Inputs | None]]:
    """Every layer's name with the inputs that it has in the float model, tables and blocks in turn."""
    output, text = output_table(model), BlockByBlock(model, windows)
    for name in TABLES:
        if name in schemes and name != output:
            yield name, None
    for number in range(len(model.blocks)):
        names = [name for name in schemes if name.startswith(f"blocks.{number}.")]
        inputs = text.inputs_of(number)
        for name in names:
            yield name, inputs
        text.advance(number)
    if output in schemes:
        yield output, text.inputs_of_output(output)


@torch.no_grad()
def _log_probabilities(model: Decoder, ids: Tensor, segments: Tensor | None) -> Tensor:
    x_BTD = model.hidden(ids, segments_BT=segments)
    x_ND = x_BTD.flatten(0, 1) if segments is None else x_BTD[segments >= 0]
    return model.unembed(x_ND).log_softmax(-1)


def _divergence(model: Decoder, exact: Sequence[Tensor], windows: Windows) -> float:
    """The mean over tokens of the divergence from the log-probabilities [N, V] of each batch."""
    total, tokens = 0.0, 0
    for logp_NV, (ids, segments) in zip(exact, windows, strict=True):
        logq_NV = _log_probabilities(model, ids, segments)
        total += float((logp_NV.exp() * (logp_NV - logq_NV)).sum(dtype=torch.float64))
        tokens += len(logp_NV)
    return max(total / tokens, 0.0)
