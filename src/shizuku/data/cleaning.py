"""Light cleaning that suits any text, and exact deduplication; a ledger keeps every drop and its reason."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from shizuku.text.documents import Document

MIN_CHARACTERS = 20
"""Shorter documents teach little but their own brevity."""
# Control characters but tab and line feed, byte-order marks, halves of surrogate pairs, and non-characters.
UNWANTED = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ud800-\udfff\ufffe\uffff]")
LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
BLANK_LINES = re.compile("\n{4,}")
"""More than two blank lines in a row."""


@dataclass(frozen=True, slots=True)
class Drop:
    """One document that a step left out."""

    id: str
    """The document's id."""
    step: str
    """Which step left it out."""
    reason: str
    """Why."""
    score: float | None = None
    """The number that decided, if one did."""
    partner_id: str | None = None
    """The document that makes this one superfluous, if one does."""


class Ledger:
    """What the steps dropped and changed, for counting and for looking up."""

    def __init__(self) -> None:
        self.drops: list[Drop] = []
        """Every drop, in order."""
        self.changes: Counter[str] = Counter()
        """How many documents each kind of mending changed."""

    def drop(
        self, document: Document, step: str, reason: str, *, score: float | None = None,
        partner_id: str | None = None,
    ) -> None:  # fmt: skip
        """Write down that a step left a document out, and why."""
        self.drops.append(Drop(document.id, step, reason, score, partner_id))

    def counts(self) -> dict[str, int]:
        """How many documents were dropped for each reason, the most frequent first."""
        return dict(Counter(drop.reason for drop in self.drops).most_common())


def clean(
    documents: Iterable[Document], ledger: Ledger | None = None, *, min_characters: int = MIN_CHARACTERS
) -> Iterator[Document]:
    """Mends texts with `clean_text` and drops those with fewer than `min_characters`, spaces not counted."""
    ledger = Ledger() if ledger is None else ledger
    for document in documents:
        text = clean_text(document.text, ledger.changes)
        characters = len(text) - sum(map(text.count, " \n\t\u3000"))
        if characters < min_characters:
            reason = "shorter than the minimum" if characters else "empty"
            ledger.drop(document, "clean", reason, score=characters)
        else:
            yield document if text == document.text else replace(document, text=text)


def _without_trailing(text: str) -> str:
    # No pattern: one that looks for blanks before the end of a line tries each run of blanks from each place.
    return "\n".join(line.rstrip(" \t") for line in text.split("\n"))


def clean_text(text: str, changes: Counter[str] | None = None) -> str:
    """NFC, one kind of line end, no control characters, no spaces at line ends, at most two blank lines.

    `changes` counts which of these changed something.
    """
    steps = (
        ("line ends", lambda text: LINE_ENDS.sub("\n", text)),
        ("control characters", lambda text: UNWANTED.sub("", text)),
        ("NFC", lambda text: unicodedata.normalize("NFC", text)),
        ("spaces", lambda text: BLANK_LINES.sub("\n\n\n", _without_trailing(text)).strip("\n")),
    )
    for name, step in steps:
        mended = step(text)
        if changes is not None and mended != text:
            changes[name] += 1
        text = mended
    return text


def drop_duplicates(documents: Iterable[Document], ledger: Ledger | None = None) -> Iterator[Document]:
    """Drops documents whose text, but for white space, came before; the ledger names the one that stays."""
    ledger = Ledger() if ledger is None else ledger
    first: dict[bytes, str] = {}
    for document in documents:
        normal = " ".join(document.text.split()).encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(normal, digest_size=16).digest()
        if digest in first:
            ledger.drop(document, "deduplicate", "exact duplicate", partner_id=first[digest])
        else:
            first[digest] = document.id
            yield document
