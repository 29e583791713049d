"""What an unmerged adapter costs the native step: the base, one adapter, two in one batch, and it merged.

python benchmarks/adapter_switch.py smollm2-135m-instruct [--rank 16] [--rounds 20] [--threads 1] [--json]

The same steps in turns, one process, medians of the rounds; ratios are medians of each round's own ratio.
With one thread its processor time counts, so that other work on the machine is left out.
Adapters are random, on every linear layer. An adapter merged into packed integers is a float model, so that
the packed base is compared with its float form too.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.surgery import merge, put_weights
from shizuku.adapters.weights import AdapterWeights, LowRank
from shizuku.checkpoints.directory import load_model
from shizuku.checkpoints.names import resolve
from shizuku.checkpoints.packed import open_packed
from shizuku.inference.native import NativeRuntime
from shizuku.inference.runtime import Span
from shizuku.models.decoder import Decoder
from shizuku.models.decoder_config import DecoderConfig
from shizuku.models.parameter_shapes import parameter_shapes
from shizuku.quantization.packed import PackedTensor

HELD = 256
"""Tokens that the cache holds before a step."""


def main() -> None:
    """Print a table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    path = resolve(given.model)
    found = {}
    for form in ("packed", "float"):
        sides = sides_of(form, path, given.rank, given.threads)
        for rows in (1, 2, 8):
            for tokens in (1, 32) if rows == 1 else (1,):
                name = f"{form}, {rows} x {tokens} tokens"
                found[name] = measured(sides, rows, tokens, given.rounds, given.threads)
                if not given.json:
                    show(name, found[name])
    if given.json:
        print(json.dumps(found))


def sides_of(form: str, path, rank: int, threads: int | None) -> dict[str, tuple[NativeRuntime, list]]:
    """Runtimes with what acts on their rows, in turns."""
    opened = open_packed(path)
    adapters = {name: random_adapter(opened.config, rank, seed) for seed, name in enumerate("ab")}
    merged = load_model(path)
    tensors = opened.tensors if form == "packed" else floats(merged)
    base = NativeRuntime(opened.config, tensors, threads=threads)
    never = NativeRuntime(opened.config, tensors, threads=threads)
    put_weights(merged, adapters["a"])
    merge(merged)
    for name, weights in adapters.items():
        base.add_adapter(name, weights)
    return {
        "no adapter loaded": (never, [None]),
        "no adapter asked for": (base, [None]),
        "one adapter": (base, ["a"]),
        "two and none": (base, ["a", "b", None]),
        "merged (float32)": (NativeRuntime(opened.config, floats(merged), threads=threads), [None]),
    }


def random_adapter(config: DecoderConfig, rank: int, seed: int) -> AdapterWeights:
    """A small random adapter on every linear layer of the blocks."""
    rng, layers = np.random.default_rng(seed), {}
    for name, shape in parameter_shapes(config).items():
        if len(shape) == 2 and name.startswith("blocks."):
            a_RI = rng.standard_normal((rank, shape[1]), np.float32) / shape[1] ** 0.5
            b_OR = rng.standard_normal((shape[0], rank), np.float32) / 100
            layers[name.removesuffix(".weight")] = LowRank(a_RI, b_OR)
    return AdapterWeights(AdapterConfig(rank=rank), layers)


def floats(model: Decoder) -> dict[str, PackedTensor]:
    """A model's weights in float32."""
    found = {}
    for name, tensor in model.state_dict().items():
        values = np.ascontiguousarray(tensor.float().numpy().reshape(-1, tensor.shape[-1]))
        found[name] = PackedTensor("f32", values.shape, values.view(np.uint8))
    return found


def measured(
    sides: dict[str, tuple[NativeRuntime, list]], rows: int, tokens: int, rounds: int, threads: int | None
) -> dict[str, dict[str, float]]:
    """Milliseconds of a step, and how many times those of the base."""
    steps = {name: step_of(*side, rows, tokens) for name, side in sides.items()}
    took: dict[str, list[float]] = {name: [] for name in steps}
    clock = time.thread_time if threads == 1 else time.perf_counter
    for step in steps.values():
        step()
    for turn in range(rounds):
        names = list(steps) if turn % 2 else list(steps)[::-1]
        for name in names:
            took[name].append(min(seconds(steps[name], clock) for _ in range(3)))
    base = took["no adapter loaded"]
    return {
        name: {
            "ms": round(1000 * statistics.median(times), 3),
            "times_base": round(statistics.median(a / b for a, b in zip(times, base, strict=True)), 3),
        }
        for name, times in took.items()
    }


def step_of(runtime: NativeRuntime, adapters: list, rows: int, tokens: int) -> Callable[[], object]:
    """One step of so many sequences, each behind HELD tokens; the adapters in turns."""
    need = -(-(HELD + tokens) // runtime.block_tokens)
    runtime.reserve(rows * need)
    own = [list(range(n * need, (n + 1) * need)) for n in range(rows)]
    acting = sorted(adapters[n % len(adapters)] or "" for n in range(rows))
    names = [name or None for name in acting]
    ids = np.random.default_rng(0).integers(0, runtime.vocab_size, HELD + tokens).tolist()
    runtime.forward([Span(ids[:HELD], 0, b, "none", name) for b, name in zip(own, names, strict=True)])
    spans = [Span(ids[HELD:], HELD, b, "last", name) for b, name in zip(own, names, strict=True)]
    return lambda: runtime.forward(spans)


def seconds(step: Callable[[], object], clock: Callable[[], float]) -> float:
    """How long one call takes."""
    begin = clock()
    step()
    return clock() - begin


def show(name: str, sides: dict[str, dict[str, float]]) -> None:
    """One line for each side."""
    print(name, flush=True)
    for side, found in sides.items():
        print(
            f"  {side:22} {found['ms']:9.2f} ms a step   {found['times_base']:.2f} times the base", flush=True
        )


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
