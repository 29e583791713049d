"""Records out of tables and JSON, and which of their columns hold texts and pairs of texts; torch is not
needed.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shizuku.errors import DocumentError
from shizuku.text.problems import Problems
from shizuku.tuning.conversations import read_records

TEXTS = ("text", "sentence", "content", "tweet", "comment", "review", "message", "body", "document")
"""Names of columns of single texts, in the order in which they are looked for."""
PAIRS = (
    ("text", "text_pair"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text1", "text2"),
)
"""Names of the two columns of a pair: those of transformers' tokenizers, of GLUE and of its kin."""
TABLES = (".csv", ".tsv")


def records(paths: Sequence[Path], problems: Problems) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each record of CSV, TSV, JSON, JSON lines and Parquet files behind its place; raises DocumentError."""
    for path in paths:
        name = path.name.lower().removesuffix(".gz")
        if name.endswith(TABLES):
            yield from _table(path, "\t" if name.endswith(".tsv") else ",")
        else:
            yield from read_records([path], problems=problems, others=TABLES)


def text_columns(
    record: Mapping[str, Any],
    place: str,
    *,
    text: str | None = None,
    pair: str | None = None,
    pairs: Sequence[tuple[str, str]] = PAIRS,
) -> tuple[str, str | None]:
    """The column of the text and, of pairs, that of the second one; DocumentError where it can't be told.

    Asked for are the columns `text` and `pair`; a text that is asked for alone stands alone. `pairs` are the
    names looked for where nothing is asked.
    """
    lower = {str(key).lower(): str(key) for key in record}
    both = [(lower[one], lower[other]) for one, other in pairs if one in lower and other in lower]
    if text is None:
        fitting = [(one, other) for one, other in both if pair in (None, other)]
        if fitting:
            return fitting[0]
        single = next((lower[name] for name in TEXTS if name in lower and lower[name] != pair), None)
        text = there(record, place, single, what="a text", flag="--text-column")
    else:
        text = there(record, place, text, what="a text", flag="--text-column")
    if pair is not None:
        pair = there(record, place, pair, what="the second text", flag="--pair-column")
        if pair == text:
            raise DocumentError(f"{place}: {text} is named by --text-column and by --pair-column: name two")
    return text, pair


def there(record: Mapping[str, Any], place: str, name: str | None, *, what: str, flag: str) -> str:
    """The column's name if the record has it; DocumentError naming those that it has."""
    if name is None or name not in record:
        seen = ", ".join(map(str, record)) or "none"
        missing = f"no column {name}" if name is not None else f"no column that is known to hold {what}"
        raise DocumentError(f"{place}: {missing}; there are {seen}: name it with {flag}")
    return name


def check_alike(
    record: Mapping[str, Any], place: str, columns: tuple[str, str | None], *, alone: bool
) -> None:
    """DocumentError for a record that is a pair among single texts, or a single text among pairs.

    With `alone` the columns of single texts were asked for, and what else stands beside them is not read.
    """
    text, pair = columns
    if not isinstance(record.get(text), str):
        return  # counted as one without a text
    if pair is not None and record.get(pair) is None:
        raise DocumentError(
            f"{place}: there is no {pair}, and what is read are pairs of {text} and {pair}. {_NOT_MIXED} "
            f"{text}"
        )
    if pair is None and not alone:
        lower = {str(key).lower(): str(key) for key in record}
        both = [{lower[one], lower[other]} for one, other in PAIRS if one in lower and other in lower]
        second = next((name for names in both if text in names for name in names - {text}), None)
        if second is not None and record[second] is not None:
            raise DocumentError(
                f"{place}: there is a {second} beside {text}, and what is read are single texts. "
                f"{_NOT_MIXED} {text}"
            )


_NOT_MIXED = (
    "Single texts and pairs don't mix: put them into files of their own, or read the first texts alone with "
    "--text-column"
)


def _table(path: Path, separator: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not path.is_file():
        raise DocumentError(f"{path} does not exist or is a folder: check the path that was given.")
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix.lower() == ".gz" else data
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=separator)
        for number, row in enumerate(rows, start=1):
            yield f"{path}, row {number:,}", row
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise DocumentError(f"{path} is not a table that can be read: {error}.") from error
