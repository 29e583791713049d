"""n-gram models on sentences: which smoothing, how long a context, and does KenLM agree?

    python recipes/ngram_smoothing.py TRAIN.txt HELDOUT.txt [--orders 1 2 3 5] [--least 2] [--arpa DIR]

One sentence a line (.gz too), split at white space, in lower case; words seen fewer than --least times in
training are one unknown word. Printed as a Markdown table: perplexity a token of the held-out sentences,
their ends counted and their beginnings not. Jelinek-Mercer's weights come from every twentieth training
sentence, which is then not counted. With --arpa each model of the longest order is written there, and where
`kenlm` is installed it scores the same sentences: the largest difference of a token's log10 is printed.
"""

import argparse
import gzip
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shizuku.checkpoints.arpa import END, START, UNKNOWN, write_arpa
from shizuku.models.ngram import NGramModel
from shizuku.training.counting.counts import count_ngrams
from shizuku.training.counting.from_text import EACH
from shizuku.training.counting.smoothing import smooth

METHODS = ("add-k", "jelinek-mercer", "katz", "kneser-ney")


@dataclass(frozen=True, slots=True)
class Sentences:
    """Sentences as token documents."""

    ids: list[np.ndarray]
    """The tokens of each, start and end included."""

    @property
    def documents(self) -> int:
        """How many."""
        return len(self.ids)

    def document(self, number: int) -> np.ndarray:
        """The tokens of one."""
        return self.ids[number]


def lines_of(path: Path) -> list[list[str]]:
    """The words of each line."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [line.split() for line in data.decode("utf-8").lower().splitlines()]


def numbered(lines: Sequence[Sequence[str]], words: Sequence[str]) -> Sentences:
    """The lines in numbers; what is no word is unknown."""
    ids = {word: number for number, word in enumerate(words)}
    start, end, unknown = (ids[word] for word in (START, END, UNKNOWN))
    return Sentences([np.array([start, *(ids.get(word, unknown) for word in line), end]) for line in lines])


def models(train: Sentences, order: int, vocab_size: int) -> dict[str, NGramModel]:
    """A model of this order by each method."""
    counts = count_ngrams(train, order=order, vocab_size=vocab_size)
    kept = Sentences([ids for number, ids in enumerate(train.ids) if number % EACH])
    parts = [
        count_ngrams(part, order=order, vocab_size=vocab_size)
        for part in (kept, Sentences(train.ids[::EACH]))
    ]
    made = {}
    for method in METHODS:
        held = method == "jelinek-mercer"
        used, heldout = (parts[0], parts[1]) if held else (counts, ())
        made[method] = smooth(used, method, vocab_size=vocab_size, start=0, heldout=heldout)  # type: ignore[arg-type]
    return made


def perplexity(model: NGramModel, heldout: Sentences) -> float:
    """A token, sentence ends counted."""
    return float(np.exp(-np.concatenate([model.logprobs(ids)[1:] for ids in heldout.ids]).mean()))


def kenlm_difference(path: Path, model: NGramModel, words: Sequence[str], heldout: Sentences) -> float | None:
    """The largest difference of a token's log10 probability; None without kenlm."""
    try:
        import kenlm
    except ImportError:
        return None
    theirs, largest = kenlm.Model(str(path)), 0.0
    for ids in heldout.ids:
        expected = [
            score for score, _, _ in theirs.full_scores(" ".join(words[token] for token in ids[1:-1]))
        ]
        largest = max(largest, float(np.abs(model.logprobs(ids)[1:] / math.log(10) - expected).max()))
    return largest


def main(arguments: Sequence[str] | None = None) -> dict[tuple[str, int], float]:
    """Run and print; returns the perplexities by method and order."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("heldout", type=Path)
    parser.add_argument("--orders", type=int, nargs="+", default=[1, 2, 3, 5])
    parser.add_argument(
        "--least", type=int, default=2, help="times that a word of the vocabulary is seen at least"
    )
    parser.add_argument("--arpa", type=Path, default=None)
    given = parser.parse_args(arguments)
    lines = lines_of(given.train)
    seen = Counter(word for line in lines for word in line)
    words = [START, END, UNKNOWN, *(word for word, count in seen.items() if count >= given.least)]
    train, heldout = numbered(lines, words), numbered(lines_of(given.heldout), words)
    found: dict[tuple[str, int], float] = {}
    for order in given.orders:
        for method, model in models(train, order, len(words)).items():
            found[method, order] = perplexity(model, heldout)
            if given.arpa is not None and order == max(given.orders):
                given.arpa.mkdir(parents=True, exist_ok=True)
                path = write_arpa(given.arpa / f"{method}.arpa", model, words)
                difference = kenlm_difference(path, model, words, heldout)
                said = (
                    "kenlm is not installed" if difference is None else f"kenlm differs by {difference:.1e}"
                )
                print(f"{path}: {said}")
    print(f"{len(words):,} words\n\n| order | {' | '.join(METHODS)} |\n|---|{'---|' * len(METHODS)}")
    for order in given.orders:
        print(f"| {order} | {' | '.join(f'{found[method, order]:.2f}' for method in METHODS)} |")
    return found


if __name__ == "__main__":
    main()
