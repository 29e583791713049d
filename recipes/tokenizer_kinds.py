"""The kinds of vocabulary side by side: how far each shortens text, and what each loses.

    SHIZUKU_DATA=... python recipes/tokenizer_kinds.py
    python recipes/tokenizer_kinds.py --vocab-size 8192 --text novel.txt report.txt

Every kind is trained at one size on the first half of each text and measured on the second, which it has not
seen. Without --text: the data pack's Japanese novel and English articles. Of two kinds that cut a text into
as many tokens the one that loses less is the better; characters lost in unknown tokens are counted, and so
are those that come back changed (WordPiece reads small letters and keeps no spaces).
"""

import argparse
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from shizuku.errors import VocabularySizeError
from shizuku.text.tokenizer import Tokenizer
from shizuku.text.vocabulary_training import Kind

PACK = ("japanese/neko.txt", "text/wikitext2.valid.txt")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One kind on one text."""

    text: str
    kind: str
    vocab_size: int
    seconds: float
    bytes_per_token: float
    characters_per_token: float
    unknown: float
    """Share of characters behind unknown tokens."""
    changed: float
    """Share of characters that do not come back, the unknown ones among them."""


def measure(name: str, text: str, kind: Kind, vocab_size: int) -> Measured:
    """Train on the first half of `text`, measure on the second."""
    middle = text.index("\n", len(text) // 2) + 1
    learned, unseen = text[:middle], text[middle:].splitlines(keepends=True)
    size = None if kind == "characters" else vocab_size
    tokenizer = None
    while tokenizer is None:
        start = time.perf_counter()
        try:
            tokenizer = Tokenizer.train([learned], size, kind=kind)
        except VocabularySizeError as error:
            size = error.possible
    seconds = time.perf_counter() - start
    ids = tokenizer.encode_batch(unseen)
    tokens, characters = sum(map(len, ids)), sum(map(len, unseen))
    lost = sum(missing(line, tokenizer.decode(row)) for line, row in zip(unseen, ids, strict=True))
    return Measured(
        text=name,
        kind=kind,
        vocab_size=tokenizer.vocab_size,
        seconds=seconds,
        bytes_per_token=len("".join(unseen).encode()) / tokens,
        characters_per_token=characters / tokens,
        unknown=tokenizer.unknown_characters(unseen) / characters,
        changed=lost / characters,
    )


def missing(line: str, back: str) -> int:
    """How many characters of `line` are not among those of `back`, each as often as it occurs."""
    return (Counter(line) - Counter(back)).total()


def row(measured: Measured) -> str:
    """One row of the table."""
    return (
        f"| {measured.text} | {measured.kind} | {measured.vocab_size:,} | {measured.bytes_per_token:.2f} "
        f"| {measured.characters_per_token:.2f} | {measured.unknown:.3%} | {measured.changed:.3%} "
        f"| {measured.seconds:.1f} |"
    )


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, nargs="+", help="text files")
    parser.add_argument("--vocab-size", type=int, default=4096)
    arguments = parser.parse_args()
    if arguments.text is None and "SHIZUKU_DATA" not in os.environ:
        parser.error("give --text FILE ..., or set SHIZUKU_DATA to the data pack's folder")
    files = arguments.text or [Path(os.environ["SHIZUKU_DATA"]) / name for name in PACK]
    print("| text | kind | vocabulary | bytes/token | characters/token | unknown | not back | training, s |")
    print("|---|---|---|---|---|---|---|---|")
    for file in files:
        text = file.read_text(encoding="utf-8")
        for kind in get_args(Kind):
            print(row(measure(file.name, text, kind, arguments.vocab_size)), flush=True)


if __name__ == "__main__":
    main()
