"""Made-up preference pairs for tests."""

import numpy as np

from shizuku.tuning.examples import Example
from shizuku.tuning.pair_examples import EncodedPair
from shizuku.tuning.pairs import PreferencePair


def encoded(number: int = 12, *, longest: int = 12, seed: int = 0, vocab: int = 400) -> list[EncodedPair]:
    """Pairs of random tokens: a common prompt, answers of unlike length."""
    random = np.random.default_rng(seed)
    found = []
    for at in range(number):
        prompt = random.integers(0, vocab, int(random.integers(2, longest))).tolist()
        sides = []
        for _ in range(2):
            answer = random.integers(0, vocab, int(random.integers(1, longest))).tolist()
            sides.append(Example(prompt + answer, [False] * len(prompt) + [True] * len(answer)))
        turns = [[{"role": "assistant", "content": f"{side} {at}"}] for side in ("chosen", "rejected")]
        pair = PreferencePair([{"role": "user", "content": f"{at}?"}], *turns, id=str(at))
        found.append(EncodedPair(*sides, pair))
    return found
