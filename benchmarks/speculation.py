"""What guessing ahead from the text itself gains: the same prompts with and without it, in turns.

python benchmarks/speculation.py smollm2-135m-instruct [--guesses 8] [--made 160] [--rounds 3]
"""

import argparse
import statistics
import time
from dataclasses import replace

from shizuku.language_model import OWN_ENGINE, LanguageModel

LIST = "".join(f"item {n}: one drop of water, price {n} yen\n" for n in range(1, 13))
CODE = "def add(a, b):\n    return a + b\n\ndef subtract(a, b):\n    return a - b\n\ndef multiply(a, b):\n"
PROMPTS = {
    "a list that goes on": LIST,
    "code": CODE,
    "free text": "The little town by the river had",
}


def main() -> None:
    """Print one line for each prompt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--guesses", type=int, default=8)
    parser.add_argument("--made", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    sides = [
        LanguageModel.load(given.model, engine=replace(OWN_ENGINE, speculative_tokens=guesses))
        for guesses in (0, given.guesses)
    ]
    for name, prompt in PROMPTS.items():
        ratios = []
        for _ in range(given.rounds + 1):  # the first reads the prompt, which is then in the cache
            took, texts = [], []
            for lm in sides:
                begin = time.perf_counter()
                texts.append(lm.generate(prompt, max_new_tokens=given.made, temperature=0.0))
                took.append(time.perf_counter() - begin)
            assert texts[0] == texts[1], "guessing ahead changed the text"
            ratios.append(took[0] / took[1])
        print(f"{name}: {statistics.median(ratios[1:]):.2f} times as fast, the same text", flush=True)


if __name__ == "__main__":
    main()
