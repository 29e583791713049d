"""What a running model adds to a process that has Shizuku and the tokenizer loaded: bytes of its own (USS).

python benchmarks/memory.py smollm2-135m-instruct MODEL.gguf …
"""

import multiprocessing
import sys

import psutil

from shizuku.checkpoints.directory import load_tokenizer
from shizuku.checkpoints.names import resolve
from shizuku.language_model import LanguageModel
from shizuku.quantization.native.library import load


def added(model: str) -> dict[str, float]:
    """Megabytes of packed weights, of the cache, and of growth; growth without the cache over the weights."""
    process, path = psutil.Process(), resolve(model)
    load_tokenizer(path).encode("warm")
    load()
    before = process.memory_full_info().uss
    lm = LanguageModel.load(path, runtime="native")
    lm.generate("Once upon a time", max_new_tokens=64)
    grown = process.memory_full_info().uss - before
    weights, cache = lm.runtime.weight_bytes, lm.runtime.blocks * lm.runtime.block_bytes  # type: ignore[attr-defined]
    return {
        "weights": weights / 1e6, "cache": cache / 1e6, "added": grown / 1e6,
        "ratio": (grown - cache) / weights,
    }  # fmt: skip


def main() -> None:
    """Print one line for each model, each in a process of its own."""
    for model in sys.argv[1:]:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(added, (model,))
        print(f"{model}: " + ", ".join(f"{name} {value:.2f}" for name, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
