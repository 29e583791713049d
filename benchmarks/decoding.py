"""Decoding one sequence beside `transformers` in float32: the same model, the same threads, in turns.

python benchmarks/decoding.py smollm2-135m-instruct [MODEL.gguf …] [--threads 2] [--rounds 3] [--made 64]

The first model is also written as a Hugging Face directory, which `transformers` opens; the others are other
formats of it.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from shizuku.checkpoints.directory import load_checkpoint, save_checkpoint
from shizuku.checkpoints.names import resolve
from shizuku.checkpoints.packed import open_packed
from shizuku.inference.native import NativeRuntime
from shizuku.inference.speed import measure

PROMPT = 8


@torch.inference_mode()
def theirs(model: torch.nn.Module, made: int) -> float:
    """Tokens per second of greedy decoding with a cache, prompt not counted."""
    done = model(torch.arange(PROMPT)[None], use_cache=True)
    begin = time.perf_counter()
    for _ in range(made):
        ids = done.logits[:, -1:].argmax(-1)
        done = model(ids, past_key_values=done.past_key_values, use_cache=True)
    return made / (time.perf_counter() - begin)


def main() -> None:
    """Print one line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--made", type=int, default=64)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        found = load_checkpoint(resolve(given.models[0]))
        save_checkpoint(Path(folder) / "float", model=found.model, tokenizer=found.tokenizer)
        peer = AutoModelForCausalLM.from_pretrained(Path(folder) / "float", dtype=torch.float32).eval()
        theirs(peer, 4)
        for name in given.models:
            packed = open_packed(resolve(name))
            running = NativeRuntime(packed.config, packed.tensors, threads=given.threads)
            speeds = measure(running, prompt=PROMPT, made=given.made, rounds=given.rounds)
            rounds = [(theirs(peer, given.made), ours.decode) for ours in speeds]
            there, here = (statistics.median(side) for side in zip(*rounds, strict=True))
            ratio = statistics.median(ours / other for other, ours in rounds)
            print(f"{name}: {here:.1f} tokens/s, transformers {there:.1f}: {ratio:.1f} times", flush=True)


if __name__ == "__main__":
    main()
