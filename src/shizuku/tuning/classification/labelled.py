"""Labelled texts, or pairs of texts, out of CSV, JSON lines, JSON and Parquet files, columns found out; torch
is not needed.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shizuku.errors import DocumentError
from shizuku.text.problems import Problems
from shizuku.tuning.columns import check_alike, records, text_columns, there

LABELS = (
    *("label", "class", "category", "target", "labels", "classification", "sentiment"),
    *("gold_label", "is_duplicate"),
)
"""Names of columns of labels, in the order in which they are looked for."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text, or a pair of texts, and what it is."""

    text: str
    """The text, or the first of a pair."""
    label: str
    """Its label; empty where none is known."""
    text_pair: str | None = None
    """The second text of a pair."""

    @property
    def read(self) -> str | tuple[str, str]:
        """What a classifier reads: the text, or both."""
        return self.text if self.text_pair is None else (self.text, self.text_pair)

    @property
    def digest(self) -> str:
        """What tells the text or the pair, whatever its spaces."""
        texts = [self.text] if self.text_pair is None else [self.text, self.text_pair]
        plain = "\n".join(" ".join(text.split()) for text in texts)
        return hashlib.blake2b(plain.encode(), digest_size=16).hexdigest()


@dataclass(slots=True)
class LabelledTexts:
    """What was read."""

    items: list[Labelled] = field(default_factory=list)
    """In the order of the files."""
    columns: tuple[str, str | None] = ("", None)
    """The columns of text and label."""
    pair_column: str | None = None
    """The column of the second text, where pairs were read."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label, numbers by size and before words."""
        found = {item.label for item in self.items}
        return tuple(sorted(found, key=lambda label: (not _is_number(label), _number(label), label)))

    def say(self) -> str:
        """One line: how many, and of which labels."""
        counts = Counter(item.label for item in self.items)
        kinds = ", ".join(f"{counts[label]:,} {label}" for label in self.labels)
        text, label = self.columns
        what = f"texts (column {text}"
        if self.pair_column is not None:
            what = f"pairs of texts (columns {text} and {self.pair_column}"
        return f"read {len(self.items):,} {what}; {label}: {kinds})"


def read_labelled(
    paths: Sequence[str | Path],
    *,
    text_column: str | None = None,
    pair_column: str | None = None,
    label_column: str | None = None,
    labelled: bool = True,
    problems: Problems | None = None,
) -> LabelledTexts:
    """Read all texts, or pairs of texts, of `paths` with their labels, or without (`labelled=False`).

    Records without text or label are skipped and counted in `problems`. Raises DocumentError for a missing or
    binary file, for columns that can't be told, for single texts among pairs, and where nothing is left.
    """
    problems = problems if problems is not None else Problems()
    found = LabelledTexts()
    columns: tuple[str, str | None] | None = None
    label_name: str | None = None
    alone = text_column is not None and pair_column is None
    for place, record in records([Path(path) for path in paths], problems):
        if columns is None:
            columns = text_columns(record, place, text=text_column, pair=pair_column)
            label_name = _label_column(record, place, label_column) if labelled else None
        check_alike(record, place, columns, alone=alone)
        text, second = record.get(columns[0]), None if columns[1] is None else record.get(columns[1])
        label = "" if label_name is None else _plain(record.get(label_name))
        if not isinstance(text, str) or not text.strip():
            problems.add("no text", place)
        elif columns[1] is not None and (not isinstance(second, str) or not second.strip()):
            problems.add("no second text", place)
        elif labelled and not label:
            problems.add("no label", place)
        else:
            found.items.append(Labelled(text, label, second))
    if columns is not None:
        found.columns, found.pair_column = (columns[0], label_name), columns[1]
    if not found.items:
        seen = ", ".join(map(str, paths))
        raise DocumentError(f"no text in {seen}: {problems.report() or 'nothing in it'} (--data)")
    return found


def split_labelled(
    items: Sequence[Labelled], share: float, seed: int
) -> tuple[list[Labelled], list[Labelled]]:
    """Texts to learn from and held-out ones, the same share of each label, told by a digest of the text.

    The same text is never in both, and the order does not matter. Nothing is held out of fewer than ten.
    """
    if not share or len(items) < 10:
        return list(items), []
    by_label: defaultdict[str, set[str]] = defaultdict(set)
    keys = [hashlib.blake2b(f"{seed} {item.digest}".encode(), digest_size=16).hexdigest() for item in items]
    for item, key in zip(items, keys, strict=True):
        by_label[item.label].add(key)
    held: set[str] = set()
    for texts in by_label.values():
        held |= set(sorted(texts)[: round(share * len(texts))])
    kept = [item for item, key in zip(items, keys, strict=True) if key not in held]
    return kept, [item for item, key in zip(items, keys, strict=True) if key in held]


def _label_column(record: Mapping[str, Any], place: str, asked: str | None) -> str:
    lower = {str(key).lower(): str(key) for key in record}
    name = asked if asked is not None else next((lower[key] for key in LABELS if key in lower), None)
    return there(record, place, name, what="a label", flag="--label-column")


def _plain(label: Any) -> str:
    """A label as text; empty for what is none."""
    if isinstance(label, int | str):
        return str(label).strip()
    if isinstance(label, float):
        return str(int(label)) if label.is_integer() else ""
    return ""


def _is_number(label: str) -> bool:
    return label.lstrip("-").isdecimal()


def _number(label: str) -> int:
    return int(label) if _is_number(label) else 0
