"""Held-out text: whole sources (a package, a file, a day, a person), never random documents.

Neighbouring documents of one source share names, turns of phrase and often sentences; a random split would
measure how well those are remembered.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from operator import attrgetter

from shizuku.errors import DocumentError
from shizuku.text.documents import Document

LONG = 8
"""A document may be cut if it is larger than this part (1/8) of the bytes to hold out of its source."""
BORDERS = (re.compile(r"\n[ \t]*\n\s*"), re.compile(r"\n+"), re.compile(r"(?<=[.!?])\s+|(?<=[。！？])"))
"""Where a text may be cut: between paragraphs, else between lines, else between sentences."""


@dataclass(frozen=True, slots=True)
class Split:
    """Training and held-out documents, and how they were told apart."""

    train: list[Document]
    """What the model may see."""
    heldout: list[Document]
    """What it is measured on."""
    train_bytes: int
    """UTF-8 bytes of the training text."""
    heldout_bytes: int
    """UTF-8 bytes of the held-out text."""
    sources: tuple[str, ...]
    """The sources that were held out, whole or (where the note says so) in part."""
    note: str
    """One sentence for the report: what was held out, and whether a source had to be cut."""


def split_by_source(
    documents: Iterable[Document],
    *,
    heldout_bytes: int,
    key: Callable[[Document], str] = attrgetter("source"),
    seed: int = 0,
) -> Split:
    """Holds out whole sources, in the order of a hash of seed and name, until `heldout_bytes` are reached.

    Sources that would carry the sum past twice what is asked are passed over while others suffice. Of a
    source with more than half of all bytes, and of every large one where whole sources would hold out more
    than twice what is asked, one contiguous block is held out instead, cut between documents and, in long
    ones, between paragraphs; the note says so. Raises DocumentError if less than half of the text would be
    left for training.
    """
    by_source: dict[str, list[Document]] = {}
    for document in documents:
        by_source.setdefault(key(document), []).append(document)
    sizes = {source: sum(map(_size, members)) for source, members in by_source.items()}
    total = sum(sizes.values())
    if not 0 < heldout_bytes <= total // 2:
        raise DocumentError(
            f"cannot hold out {heldout_bytes:,} of {total:,} bytes: at least one and at most half of them; "
            "give more text (--text) or hold out less (life: --heldout-megabytes, train: --validation)"
        )
    whole, blocks = _plan(sizes, heldout_bytes, seed)
    train: list[Document] = []
    heldout: list[Document] = []
    for source, members in by_source.items():
        if source in blocks:
            block, rest = _cut_block(members, blocks[source], seed)
            heldout, train = heldout + block, train + rest
        elif source in whole:
            heldout += members
        else:
            train += members
    train_bytes, reached = sum(map(_size, train)), sum(map(_size, heldout))
    if not reached:
        raise DocumentError(f"nothing of {total:,} bytes could be held out: give more files (--text)")
    if train_bytes < reached:
        raise DocumentError(
            f"the text falls into too few parts: {reached:,} bytes held out would leave {train_bytes:,}; "
            "give text with line breaks, or more files (--text)"
        )
    note = f"{len(whole)} of {len(sizes)} sources held out whole"
    if blocks:
        what = (
            f"{len(blocks)} large sources" if len(blocks) > 1 else f"{next(iter(blocks))}, the largest source"
        )
        note = f"one contiguous block held out of {what}, cut between documents or paragraphs; {note}"
    return Split(train, heldout, train_bytes, reached, tuple(sorted(whole | blocks.keys())), note)


def _plan(sizes: dict[str, int], wanted: int, seed: int) -> tuple[set[str], dict[str, int]]:
    """The sources to hold out whole, and the bytes to hold out of those that have to be cut."""
    total = sum(sizes.values())
    dominant = {source: -(-wanted * size // total) for source, size in sizes.items() if size > total / 2}
    rest = wanted - sum(dominant.values())
    whole = _choose({source: size for source, size in sizes.items() if source not in dominant}, rest, seed)
    if sum(sizes[source] for source in whole) <= 2 * rest:
        return whole, dominant
    large = {source: size for source, size in sizes.items() if size > 2 * rest}
    if not large:  # all are smaller than what would be too much, and together they are that: one is cut
        enough = [source for source, size in sizes.items() if size >= rest and source not in dominant]
        return set(), dominant | {min(enough, key=lambda source: (sizes[source], source)): rest}
    return set(), {source: -(-wanted * size // sum(large.values())) for source, size in large.items()}


def _choose(sizes: dict[str, int], wanted: int, seed: int) -> set[str]:
    """Sources whose sizes sum to `wanted` or more (or all of them), in the order of their hashes."""
    chosen: set[str] = set()
    reached = 0
    waiting = sorted(sizes, key=lambda source: _rank(source, seed))
    for source in waiting:
        if reached < wanted and reached + sizes[source] <= 2 * wanted:
            chosen.add(source)
            reached += sizes[source]
    for source in sorted(set(waiting) - chosen, key=lambda source: (sizes[source], source)):
        if reached < wanted:
            chosen.add(source)
            reached += sizes[source]
    return chosen


def _cut_block(documents: list[Document], wanted: int, seed: int) -> tuple[list[Document], list[Document]]:
    """One contiguous block of about `wanted` bytes, and what stands before and after it."""
    pieces = [piece for document in documents for piece in _pieces(document, wanted // LONG)]
    total = sum(size for _, _, size in pieces)
    start = int(_rank(documents[0].source, seed), 16) % max(1, total - wanted)
    sides: list[tuple[int, Document, str]] = []
    at = reached = 0
    for document, text, size in pieces:
        inside = at + size > start and reached < wanted
        reached += size if inside else 0
        side = 1 if inside else 2 if reached else 0
        if sides and sides[-1][:2] == (side, document):
            sides[-1] = side, document, sides[-1][2] + text
        else:
            sides.append((side, document, text))
        at += size
    block: list[Document] = []
    rest: list[Document] = []
    for side, document, text in sides:
        if text.strip():
            (block if side == 1 else rest).append(_part(document, text, side))
    return block, rest


def _pieces(document: Document, long: int) -> list[tuple[Document, str, int]]:
    """The document whole if it is not `long`, else its paragraphs, each with the white space after it."""
    texts = [document.text]
    if _size(document) > long:
        least = _size(document)
        for border in BORDERS:
            ends = [match.end() for match in border.finditer(document.text)]
            cut = [document.text[a:b] for a, b in zip([0, *ends], [*ends, None], strict=True)]
            largest = max(len(text.encode()) for text in cut)
            if largest < least:
                texts, least = cut, largest
            if largest <= max(long, 1):
                break
    return [(document, text, len(text.encode())) for text in texts if text]


def _part(document: Document, text: str, side: int) -> Document:
    if text == document.text:
        return document
    part_id = hashlib.blake2b(f"{document.id}\0{side}".encode(), digest_size=8).hexdigest()
    return replace(document, id=part_id, text=text.strip("\n"))


def _rank(source: str, seed: int) -> str:
    return hashlib.blake2b(f"{seed}\0{source}".encode(), digest_size=8).hexdigest()


def _size(document: Document) -> int:
    return len(document.text.encode("utf-8"))
