"""Any amount of text that never repeats: Markov chains over characters of real Japanese and English.

A chain of order 3 (Japanese) or 5 (English) writes words, names and runs of kanji that its text never held,
at a rate that stays: the number of different pieces goes on growing, as it does in real text and faster than
there. `novelty` measures that, so that a memory figure can be read for what it is.

    SHIZUKU_DATA=... python benchmarks/varied_text.py FOLDER 512      # half of 512 MB in each language
"""

import gzip
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ORDERS = {"japanese": 3, "english": 5}
SOURCES = {
    "japanese": ("japanese/neko.txt", "parallel/tanaka.train.ja", "japanese/jawiki_country.jsonl.gz"),
    "english": (
        *("text/wikitext2.valid.txt", "text/tinyshakespeare.txt"),
        *("parallel/tanaka.train.en", "parallel/multi30k.train.en.gz"),
    ),
}
CHAINS, LENGTH = 4096, 1500
"""Chains that run side by side, and the characters of one document."""


def source_text(language: str) -> str:
    """The text a chain is made from."""
    return "\n".join(_read(Path(os.environ["SHIZUKU_DATA"]) / name) for name in SOURCES[language])


def _read(path: Path) -> str:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = raw.decode("utf-8")
    if ".jsonl" in path.name:
        return "\n".join(json.loads(line)["text"] for line in text.splitlines())
    return text


class Chain:
    """Characters drawn one after another, each as it once followed the `order` characters before it."""

    def __init__(self, text: str, order: int) -> None:
        codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        self.alphabet, symbols = np.unique(codes, return_inverse=True)
        wrapped = np.concatenate([symbols, symbols[:order]]).astype(np.int64)
        states = np.zeros(len(symbols), dtype=np.int64)
        for place in range(order):
            states = states * len(self.alphabet) + wrapped[place : place + len(symbols)]
            states = np.unique(states, return_inverse=True)[1]
        self.last = wrapped[order - 1 : order - 1 + len(symbols)]
        self.by_state = np.argsort(states, kind="stable")
        self.state = states
        counts = np.bincount(states)
        self.first, self.count = np.cumsum(counts) - counts, counts

    def documents(self, source: np.random.Generator) -> Iterator[str]:
        """Documents without end, `CHAINS` at a time."""
        size = len(self.state)
        while True:
            places = source.integers(size, size=CHAINS)
            rows = np.empty((LENGTH, CHAINS), dtype=np.int64)
            for step in range(LENGTH):
                state = self.state[places]
                drawn = (source.random(CHAINS) * self.count[state]).astype(np.int64)
                places = (self.by_state[self.first[state] + drawn] + 1) % size
                rows[step] = self.last[places]
            for column in self.alphabet[rows.T]:
                yield column.astype("<u4").tobytes().decode("utf-32-le")


def write(folder: Path, megabytes: int, seed: int = 0) -> dict[str, Path]:
    """One JSONL file a language of `megabytes` / 2 million bytes of text each."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for language, order in ORDERS.items():
        files[language] = folder / f"{language}.jsonl"
        room = megabytes * 500_000
        with files[language].open("w", encoding="utf-8") as file:
            for document in Chain(source_text(language), order).documents(np.random.default_rng(seed)):
                file.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")
                room -= len(document.encode())
                if room <= 0:
                    break
    return files


def novelty(texts: Iterator[str], megabytes: int) -> int:
    """How many different pieces the first `megabytes` of `texts` have, as the tokenizer cuts them."""
    from tokenizers import Regex, pre_tokenizers

    from shizuku.text.pretokenizers import OWN, PATTERNS

    cut = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(p), "isolated") for p in PATTERNS[OWN]])
    pieces: set[str] = set()
    room = megabytes * 1_000_000
    for text in texts:
        pieces.update(piece for piece, _ in cut.pre_tokenize_str(text))
        room -= len(text.encode())
        if room <= 0:
            break
    return len(pieces)


def main() -> None:
    """Write the text; print how new it is beside the text it is made from."""
    folder, megabytes = Path(sys.argv[1]), int(sys.argv[2])
    for language, file in write(folder, megabytes).items():
        real = source_text(language)
        parts = (real[start : start + LENGTH] for start in range(0, len(real), LENGTH))
        made = (json.loads(line)["text"] for line in file.open(encoding="utf-8"))
        print(f"{language}: different pieces in 4 MB: real {novelty(parts, 4):,}, made {novelty(made, 4):,}")


if __name__ == "__main__":
    main()
