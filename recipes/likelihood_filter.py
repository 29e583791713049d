"""An n-gram model as a corpus filter: how much planted junk it finds, and how much good text it loses.

    python recipes/likelihood_filter.py wikitext2.valid.txt [--other neko.txt] [--order 5] [--vocab-size 264]
        [--share 0.99]

The text is split into articles at its title lines ("= Title ="), those into passages of about 600
characters. An n-gram model is counted on the passages of half of the articles; a quarter of them
gives the bounds, so that --share of its passages stay under the upper one, and as many above the lower; the
last quarter is looked at once. Junk is made of the passages of that quarter: words in random order, random
characters, one sentence again and again, letters shuffled inside of words, and passages of --other, text in
another language. Printed as a Markdown table: how much of each kind is dropped, and of the good passages.
"""

import argparse
import random
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from shizuku.data.cleaning import Ledger
from shizuku.data.likelihood import bound_of, drop_by_likelihood
from shizuku.evaluation.perplexity import bits_per_byte_of
from shizuku.language_model import LanguageModel
from shizuku.progress import hushed
from shizuku.text.documents import Document, document_id, write_documents
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.config import TrainConfig
from shizuku.training.counting.from_text import count_text
from shizuku.training.model_settings import NGramSettings

TITLE = re.compile(r"^ ?= [^=].*[^=] = ?$", re.MULTILINE)
PASSAGE = 600


def passages(text: str) -> list[str]:
    """Runs of whole lines of about 600 characters."""
    found, rest = [], ""
    for line in text.splitlines():
        rest += line.strip() + "\n" if line.strip() else ""
        while len(rest) >= PASSAGE:
            cut = rest.find(" ", PASSAGE)
            cut = len(rest) if cut < 0 or cut > 2 * PASSAGE else cut
            found.append(rest[:cut].strip())
            rest = rest[cut:]
    return found


def junk(good: Sequence[str], other: Sequence[str], chooser: random.Random) -> dict[str, list[str]]:
    """Passages that no reference text has, by kind; each made of the good passage of its place."""

    def shuffled(text: str) -> str:
        words = text.split()
        chooser.shuffle(words)
        return " ".join(words)

    def inside(text: str) -> str:
        return re.sub(r"\w+", lambda word: "".join(chooser.sample(word[0], len(word[0]))), text)

    kinds: dict[str, Callable[[str], str]] = {
        "words in random order": shuffled,
        "letters shuffled inside of words": inside,
        "random characters": lambda text: "".join(chr(chooser.randrange(33, 127)) for _ in text),
        "one sentence again and again": lambda text: (text[:60] + " ") * (len(text) // 60),
    }
    found = {name: [make(text) for text in good] for name, make in kinds.items()}
    return found | ({"another language": list(other[: len(good)])} if other else {})


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Count, filter and print; returns the dropped share by kind, `good` among them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--vocab-size", type=int, default=264, help="of the tokenizer; 264: bytes")
    parser.add_argument("--share", type=float, default=0.99)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    chooser = random.Random(given.seed)
    articles = [passages(part) for part in TITLE.split(given.text.read_text(encoding="utf-8"))]
    articles = [article for article in articles if article]
    chooser.shuffle(articles)
    half, quarter = len(articles) // 2, len(articles) // 4
    parts = articles[:half], articles[half : half + quarter], articles[half + quarter :]
    counted, bounding, looked = ([one for article in part for one in article] for part in parts)
    with tempfile.TemporaryDirectory() as folder:
        lm = counted_model(counted, Path(folder), given.order, given.vocab_size)
        known = bits_per_byte_of(lm, bounding)
        most, least = bound_of(known, given.share), -bound_of([-bits for bits in known], given.share)
        other = passages(given.other.read_text(encoding="utf-8")) if given.other else []
        groups = {"good": looked, **junk(looked, other, chooser)}
        print(
            f"{len(counted)} passages counted, {len(bounding)} for the bounds {least:.2f} to {most:.2f} bits"
        )
        print("| passages | number | dropped |\n|---|---:|---:|")
        dropped = {}
        for name, texts in groups.items():
            ledger = Ledger()
            documents = [Document(document_id(name, n), text, name) for n, text in enumerate(texts)]
            kept = drop_by_likelihood(
                documents, lambda some: bits_per_byte_of(lm, some), most=most, least=least, ledger=ledger
            )
            dropped[name] = 1 - len(list(kept)) / len(texts)
            print(f"| {name} | {len(texts)} | {100 * dropped[name]:.1f} % |")
    return dropped


def counted_model(texts: Sequence[str], folder: Path, order: int, vocab_size: int) -> LanguageModel:
    """An n-gram model of the tokens of these texts."""
    write_documents(
        [Document(document_id("counted", n), text, str(n)) for n, text in enumerate(texts)],
        folder / "text.parquet",
    )
    Tokenizer.train(texts, vocab_size).save(folder / "tokenizer")
    config = TrainConfig(
        text=(folder / "text.parquet",), out=folder / "counted", tokenizer=folder / "tokenizer",
        architecture="ngram", ngram=NGramSettings(order=order), validation=0.0,
    )  # fmt: skip
    with hushed():
        count_text(config)
    return LanguageModel.load(folder / "counted")


if __name__ == "__main__":
    main()
