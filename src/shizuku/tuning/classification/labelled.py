"""Labelled texts out of CSV, JSON lines, JSON and Parquet files, columns found out; torch is not needed."""

import csv
import gzip
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shizuku.errors import DocumentError
from shizuku.text.problems import Problems
from shizuku.tuning.conversations import read_records

TEXTS = ("text", "sentence", "content", "tweet", "comment", "review", "message", "body", "document")
LABELS = ("label", "class", "category", "target", "labels", "classification", "sentiment")
"""Names of columns, in the order in which they are looked for."""
TABLES = (".csv", ".tsv")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text and what it is."""

    text: str
    """The text."""
    label: str
    """Its label; empty where none is known."""

    @property
    def digest(self) -> str:
        """What tells the text, whatever its spaces."""
        return hashlib.blake2b(" ".join(self.text.split()).encode(), digest_size=16).hexdigest()


@dataclass(slots=True)
class LabelledTexts:
    """What was read."""

    items: list[Labelled] = field(default_factory=list)
    """In the order of the files."""
    columns: tuple[str, str | None] = ("", None)
    """The columns of text and label."""

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
        return f"read {len(self.items):,} texts (column {text}; {label}: {kinds})"


def read_labelled(
    paths: Sequence[str | Path],
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    labelled: bool = True,
    problems: Problems | None = None,
) -> LabelledTexts:
    """Read all texts of `paths` with their labels, or without (`labelled=False`).

    Records without text or label are skipped and counted in `problems`. Raises DocumentError for a missing or
    binary file, for columns that can't be told, and where nothing is left.
    """
    problems = problems if problems is not None else Problems()
    found = LabelledTexts()
    columns: tuple[str, str | None] | None = None
    for place, record in _records([Path(path) for path in paths], problems):
        if columns is None:
            columns = _columns(record, text_column, label_column, labelled=labelled, place=place)
        text, label = record.get(columns[0]), "" if columns[1] is None else record.get(columns[1])
        if not isinstance(text, str) or not text.strip():
            problems.add("no text", place)
        elif labelled and not _plain(label):
            problems.add("no label", place)
        else:
            found.items.append(Labelled(text, _plain(label) if labelled else ""))
    found.columns = columns or ("", None)
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


def _records(paths: Sequence[Path], problems: Problems) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path in paths:
        name = path.name.lower().removesuffix(".gz")
        if name.endswith(TABLES):
            yield from _table(path, "\t" if name.endswith(".tsv") else ",")
        else:
            yield from read_records([path], problems=problems)


def _table(path: Path, separator: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not path.is_file():
        raise DocumentError(f"{path} is no file. Check the path given to --data.")
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix.lower() == ".gz" else data
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=separator)
        for number, row in enumerate(rows, start=1):
            yield f"{path}, row {number:,}", row
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DocumentError(f"{path} is not a table that can be read: {error}.") from error


def _columns(
    record: Mapping[str, Any], text: str | None, label: str | None, *, labelled: bool, place: str
) -> tuple[str, str | None]:
    there = ", ".join(map(str, record)) or "none"
    names: list[str | None] = []
    for flag, asked, known, needed in (("text", text, TEXTS, True), ("label", label, LABELS, labelled)):
        if not needed:
            names.append(None)
            continue
        lower = {str(key).lower(): str(key) for key in record}
        name = asked if asked is not None else next((lower[key] for key in known if key in lower), None)
        if name is None or name not in record:
            missing = f"no column {name}" if name is not None else f"no column that is known to hold a {flag}"
            raise DocumentError(f"{place}: {missing}; there are {there}: name it with --{flag}-column")
        names.append(name)
    assert names[0] is not None, "the text is always needed"
    return names[0], names[1]


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
