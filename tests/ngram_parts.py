"""Made-up documents and the n-gram models that tests count on them."""

from collections import Counter

import numpy as np

from shizuku.models.ngram import NGramModel
from shizuku.training.counting.counts import count_ngrams
from shizuku.training.counting.smoothing import smooth

START, VOCAB = 0, 40
METHODS = ("add-k", "jelinek-mercer", "katz", "kneser-ney")


class Documents:
    """Token documents in memory."""

    def __init__(self, documents: list[list[int]]) -> None:
        self._documents = [np.array(one, dtype=np.int64) for one in documents]
        self.documents = len(documents)

    def document(self, number: int) -> np.ndarray:
        return self._documents[number]


def documents(count: int = 300, *, seed: int = 0, tokens: int = VOCAB - 1) -> list[list[int]]:
    """Made-up sentences: token 0 opens them, 1 ends them; each token prefers a few successors."""
    random = np.random.default_rng(seed)
    table = np.random.default_rng(99).dirichlet(np.full(tokens - 2, 0.05), tokens)
    found = []
    for _ in range(count):
        line, last = [START], 2
        for _ in range(random.integers(0, 15)):
            last = 2 + int(random.choice(tokens - 2, p=table[last - 2]))
            line.append(last)
        found.append([*line, 1])
    return found


def grams(lines: list[list[int]], length: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(one[at : at + length]) for one in lines for at in range(len(one) - length + 1))


def model(method: str, order: int, lines: list[list[int]], **how: object) -> NGramModel:
    counts = count_ngrams(Documents(lines), order=order, vocab_size=VOCAB)
    heldout = count_ngrams(Documents(documents(60, seed=1)), order=order, vocab_size=VOCAB)
    return smooth(counts, method, vocab_size=VOCAB, start=START, heldout=heldout, **how)  # type: ignore[arg-type]
