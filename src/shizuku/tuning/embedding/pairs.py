"""Pairs of texts that belong together, out of files; torch is not needed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shizuku.errors import DocumentError
from shizuku.text.bitext import read_pairs
from shizuku.text.problems import Problems
from shizuku.tuning.classification.labelled import LABELS
from shizuku.tuning.columns import PAIRS, check_alike, records, text_columns, there

TOGETHER = (
    ("anchor", "positive"),
    ("query", "positive"),
    ("query", "passage"),
    ("query", "document"),
    ("question", "answer"),
    ("source", "target"),
    *PAIRS,
)
"""Names of the columns of two texts that belong together, in the order in which they are looked for."""
NEGATIVES = ("negative", "negatives", "hard_negative", "hard_negatives")
"""Names of columns of what does not."""
FEW = 10
"""Below so many pairs none is held out."""


@dataclass(frozen=True, slots=True)
class TextPair:
    """Two texts that belong together."""

    text: str
    """The first, from which the second is to be found."""
    other: str | None
    """The second; None of a single text, which is learned from by reading it twice."""
    negatives: tuple[str, ...] = ()
    """Texts that it must be told from."""

    @property
    def keys(self) -> tuple[str, ...]:
        """What tells the two texts, whatever their spaces."""
        return tuple(_key(text) for text in (self.text, self.other) if text is not None)


@dataclass(slots=True)
class TextPairs:
    """What was read."""

    items: list[TextPair] = field(default_factory=list)
    """In the order of the files."""
    columns: tuple[str, str | None] = ("", None)
    """Where both texts stood."""

    @property
    def single(self) -> bool:
        """Whether these are single texts."""
        return self.columns[1] is None

    def say(self) -> str:
        """One line: how many, from where."""
        if self.single:
            return f"read {len(self.items):,} single texts (column {self.columns[0]})"
        negatives = sum(len(item.negatives) for item in self.items)
        beside = f", {negatives:,} negatives beside them" if negatives else ""
        return f"read {len(self.items):,} pairs ({self.columns[0]} and {self.columns[1]}{beside})"


def read_text_pairs(
    paths: Sequence[str | Path],
    *,
    text_column: str | None = None,
    pair_column: str | None = None,
    negative_column: str | None = None,
    problems: Problems | None = None,
) -> TextPairs:
    """Read all pairs, or single texts, of `paths`; those with an empty text are skipped and counted.

    Raises DocumentError as `read_labelled`, and for pairs that have labels, unless columns are named.
    """
    problems = problems if problems is not None else Problems()
    found = TextPairs()
    columns: tuple[str, str | None] | None = None
    negative: str | None = None
    alone = text_column is not None and pair_column is None
    for place, record in records([Path(path) for path in paths], problems):
        if columns is None:
            columns = text_columns(record, place, text=text_column, pair=pair_column, pairs=TOGETHER)
            negative = _negative_column(record, place, negative_column)
            if columns[1] is not None and text_column is None:
                _check_unlabelled(record, place, (columns[0], columns[1]))
        check_alike(record, place, columns, alone=alone)
        values = [record.get(name) for name in columns if name is not None]
        texts = [text for text in values if isinstance(text, str) and text.strip()]
        if len(texts) < len(values):
            problems.add("an empty text", place)
            continue
        negatives = () if negative is None else _negatives(record.get(negative))
        found.items.append(TextPair(texts[0], texts[1] if len(texts) == 2 else None, negatives))
    found.columns = columns or ("", None)
    if not found.items:
        seen = ", ".join(map(str, paths))
        raise DocumentError(f"no text in {seen}: {problems.report() or 'nothing in it'} (--data)")
    return found


def read_lines_together(
    source: Path, target: Path, *, flags: tuple[str, str] = ("--source", "--target"), problems: Problems
) -> TextPairs:
    """Read two files whose lines belong together; raises as `read_pairs`."""
    pairs = read_pairs(source, target, flags=flags, problems=problems)
    return TextPairs([TextPair(*pair) for pair in pairs], (str(source), str(target)))


def split_pairs(items: Sequence[TextPair], share: float, seed: int) -> tuple[list[TextPair], list[TextPair]]:
    """Pairs to learn from and held-out ones, told by a digest of the first text; see `without`.

    The order does not matter. Nothing is held out of fewer than ten.
    """
    if not share or len(items) < FEW:
        return list(items), []
    drawn = {item.keys[0]: _key(f"{seed} {item.keys[0]}") for item in items}
    held = set(sorted(drawn, key=lambda key: drawn[key])[: max(1, round(share * len(drawn)))])
    apart = sorted((item for item in items if item.keys[0] in held), key=lambda item: drawn[item.keys[0]])
    return without(items, apart), apart


def without(items: Sequence[TextPair], apart: Sequence[TextPair]) -> list[TextPair]:
    """The pairs that have no text of those held out `apart`."""
    known = {key for item in apart for key in item.keys}
    return [item for item in items if not known & set(item.keys)]


def _negative_column(record: Mapping[str, Any], place: str, asked: str | None) -> str | None:
    if asked is not None:
        return there(record, place, asked, what="a negative", flag="--negative-column")
    lower = {str(key).lower(): str(key) for key in record}
    return next((lower[name] for name in NEGATIVES if name in lower), None)


def _check_unlabelled(record: Mapping[str, Any], place: str, columns: tuple[str, str]) -> None:
    lower = {str(key).lower(): str(key) for key in record}
    label = next((lower[name] for name in LABELS if name in lower and lower[name] not in columns), None)
    if label is not None:
        raise DocumentError(
            f"{place}: these pairs have a {label}, and perhaps not all of them belong together: keep those "
            f"that do in the file, or take all with --text-column {columns[0]} --pair-column {columns[1]}"
        )


def _negatives(value: Any) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else [value]
    return tuple(text for text in texts if isinstance(text, str) and text.strip())


def _key(text: str) -> str:
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).hexdigest()
