"""Decoding and prefill beside llama.cpp: the same GGUF files, the same threads, in turns.

python benchmarks/llama_cpp.py LLAMA_BENCH MODEL.gguf … [--threads 2] [--rounds 5] [--instruction-set avx2]

Prints medians in tokens/s, the medians of the rounds' ratios, and how much of the measured read bandwidth
decoding reaches. `shizuku export MODEL --format gguf --type q8_0` makes files for both.
"""

import argparse
import json
import statistics
import subprocess
from pathlib import Path

from shizuku.checkpoints.packed import open_packed
from shizuku.inference.native import NativeRuntime
from shizuku.inference.speed import measure
from shizuku.quantization.native.library import read_bandwidth


def theirs(program: Path, model: Path, threads: int, prompt: int, made: int) -> dict[str, float]:
    """One run of llama-bench: tokens/s of the prompt and of what is made."""
    command = [program, "-m", model, "-t", threads, "-p", prompt, "-n", made, "-r", 1, "-o", "json"]
    found = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    return {"decode" if one["n_gen"] else "prefill": float(one["avg_ts"]) for one in json.loads(found.stdout)}


def main() -> None:
    """Print one line for each model and kind of work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--made", type=int, default=128)
    parser.add_argument("--cache", default="f16", choices=("f16", "f32", "int8"))
    parser.add_argument("--instruction-set")
    given = parser.parse_args()
    bandwidth = max(read_bandwidth(given.threads) for _ in range(3))  # other work only ever slows it
    print(f"read bandwidth {bandwidth / 1e9:.1f} GB/s with {given.threads} threads")
    for path in given.models:
        found = open_packed(path, verify=False)
        running = NativeRuntime(
            found.config, found.tensors, threads=given.threads, cache=given.cache,
            instruction_set=given.instruction_set,
        )  # fmt: skip
        speeds = measure(running, prompt=given.prompt, made=given.made, rounds=given.rounds)
        rounds = []
        for speed in speeds:
            other = theirs(given.program, path, given.threads, given.prompt, given.made)
            rounds.append((other, {"prefill": speed.prefill, "decode": speed.decode}))
        for work in ("decode", "prefill"):
            here = statistics.median(us[work] for _, us in rounds)
            other = statistics.median(them[work] for them, _ in rounds)
            ratio = statistics.median(us[work] / them[work] for them, us in rounds)
            line = f"{path.name} {running.instruction_set} {work}: {here:.0f} tokens/s, llama.cpp {other:.0f}"
            share = (
                f"; {running.read_bytes * here / bandwidth:.0%} of the bandwidth" if work == "decode" else ""
            )
            print(f"{line}: {ratio:.2f} times{share}", flush=True)


if __name__ == "__main__":
    main()
