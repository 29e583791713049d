"""The texts of `yardstick.py`: to learn from, to measure on, and what needs no language model on them."""

import argparse
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from shizuku.data.splitting import split_by_source
from shizuku.data.town import town_documents
from shizuku.errors import ConfigError
from shizuku.evaluation.baselines import order5_bits_per_byte, xz_bits_per_byte
from shizuku.text.documents import Document, document_id, read_documents, write_documents
from shizuku.text.tokenizer import Tokenizer

TEXTS = {"town": "the town, in both languages", "wikitext": "WikiText-2", "soseki": "Sōseki's novel"}
HEADING = re.compile(r"^ = [^=\n]+ = $", re.MULTILINE)
BASELINES = ("xz", "xz, primed", "order-5 bytes")
Split = tuple[list[Document], list[Document]]


def town(given: argparse.Namespace) -> Split:
    """The town's documents in both languages, and those of its held-out days and people."""
    parts: dict[bool, list[Document]] = {True: [], False: []}
    for one in town_documents(megabytes=given.megabytes, seed=0):
        parts[one.split == "train"].append(Document(id=one.id, text=one.text, source=one.source))
    return parts[True], spread(parts[False], given.heldout_bytes)


def wikitext(given: argparse.Namespace) -> Split:
    """WikiText-2's validation file, article by article."""
    text = (given.data / "text/wikitext2.valid.txt").read_text(encoding="utf-8")
    starts = [found.start() for found in HEADING.finditer(text)]
    whole = [text[a:b].strip() for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    made = [Document(id=document_id("wikitext", n), text=one, source=str(n)) for n, one in enumerate(whole)]
    split = split_by_source(made, heldout_bytes=given.heldout_bytes)
    return split.train, split.heldout


def soseki(given: argparse.Namespace) -> Split:
    """Sōseki's novel, of which one contiguous piece is held out."""
    split = split_by_source(
        read_documents([given.data / "japanese/neko.txt"]), heldout_bytes=given.heldout_bytes
    )
    return split.train, split.heldout


def spread(documents: list[Document], size: int) -> list[Document]:
    """Documents from all over, of about so many bytes together."""
    whole = sum(len(one.text.encode()) for one in documents)
    return documents[:: max(1, whole // size)]


READERS: Mapping[str, Callable[[argparse.Namespace], Split]] = {
    "town": town, "wikitext": wikitext, "soseki": soseki,
}  # fmt: skip


def prepare(text: str, given: argparse.Namespace) -> Path:
    """The folder with a text's train.parquet, heldout.parquet and tokenizer; made where it is not there."""
    settings = {
        "text": text, "vocab_size": given.vocab_size, "heldout_bytes": given.heldout_bytes,
        "megabytes": given.megabytes if text == "town" else None,
    }  # fmt: skip
    folder = given.out / "texts" / text
    marker = folder / "settings.json"
    if marker.is_file():
        before = json.loads(marker.read_text(encoding="utf-8"))
        if before != settings:
            raise ConfigError(
                f"{folder} was made with {before}, now asked is {settings}: choose another --out"
            )
        return folder
    train, heldout = READERS[text](given)
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", train), ("heldout", heldout)):
        write_documents(part, folder / f"{name}.parquet")
    Tokenizer.train((one.text for one in train), given.vocab_size).save(folder / "tokenizer")
    marker.write_text(json.dumps(settings), encoding="utf-8")
    return folder


def baselines(folder: Path) -> dict[str, float]:
    """Bits per byte by what is no language model of tokens."""
    train, heldout = (
        [one.text.encode() for one in read_documents([folder / f"{name}.parquet"])]
        for name in ("train", "heldout")
    )
    joined = b"\n\n".join(train)
    figures = (
        xz_bits_per_byte(heldout), xz_bits_per_byte(heldout, primed_with=joined),
        order5_bits_per_byte(train, heldout),
    )  # fmt: skip
    return dict(zip(BASELINES, figures, strict=True))
