"""What a grammar costs at each token, and what guessing from the text so far costs.

    python benchmarks/structured_output.py smollm2-135m-instruct
    python benchmarks/structured_output.py TOKENIZER_DIRECTORY_OR_GGUF

Random logits are masked by a fresh processor and the best token is taken, 20 texts of at most 120 tokens for
each grammar. Milliseconds of processor time for one call, the first compilation (which reads the vocabulary)
and a second one.
"""

import random
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from shizuku.checkpoints.fetch import pulled
from shizuku.inference import grammar
from shizuku.inference.proposals import Proposals, propose
from shizuku.text.tokenizer import Tokenizer

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "likes": {"type": "array", "items": {"enum": ["水", "rain", "tea"]}, "maxItems": 5},
    },
    "required": ["name", "age", "likes"],
}


def masks(made: grammar.Grammar, tokenizer: Tokenizer) -> list[float]:
    """Seconds of every call while 20 random texts are made."""
    seconds = []
    for seed in range(20):
        numbers, processor, ids = np.random.default_rng(seed), made.processor(), [0]
        while len(ids) < 120:
            logits_V = numbers.standard_normal(tokenizer.vocab_size, dtype=np.float32)
            begun = time.thread_time()
            allowed_V = processor(ids, logits_V)
            seconds.append(time.thread_time() - begun)
            ids.append(int(allowed_V.argmax()))
            if ids[-1] in tokenizer.stop_ids:
                break
    return seconds


def main(name: str) -> None:
    """Print the table for the tokenizer of a pulled model, or of a path."""
    tokenizer = Tokenizer.load(pulled(name) or Path(name))
    tokenizer.token_bytes(0)
    begun = time.thread_time()
    grammar.json_object(tokenizer)
    between = time.thread_time()
    grammars = {"a person (JSON schema)": grammar.json_schema(PERSON, tokenizer)}
    compiled = time.thread_time()
    grammars["any object"] = grammar.json_object(tokenizer)
    grammars["yes or no, because …"] = grammar.regex("(yes|no), because [a-z ]{10,80}\\.", tokenizer)
    grammars["letters of any script"] = grammar.regex("[\\p{L} ]{10,80}\\.", tokenizer)
    print(f"{tokenizer.vocab_size:,} tokens; first compilation {1e3 * (between - begun):.0f} ms", end="")
    print(f", second {1e3 * (compiled - between):.1f} ms")
    for what, made in grammars.items():
        times = sorted(1e3 * second for second in masks(made, tokenizer))
        middle, high = statistics.median(times), times[len(times) * 95 // 100]
        print(f"{what:26} {len(times):5} calls: median {middle:.3f} ms, 95th percentile {high:.3f} ms")
    chance = random.Random(0)
    ids = [chance.randrange(5000) for _ in range(8192)]
    begun = time.thread_time()
    index = Proposals(ids)
    read = time.thread_time()
    for token in ids[:1000]:
        index.extend([token])
        index.propose()
    asked = time.thread_time()
    propose(ids)
    once = time.thread_time() - asked
    print(
        f"proposals: 8,192 tokens read in {1e3 * (read - begun):.0f} ms, then {1e3 * (asked - read):.1f} us",
        end="",
    )
    print(f" a token; without an index {1e3 * once:.1f} ms")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "smollm2-135m-instruct")
