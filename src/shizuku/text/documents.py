"""Documents in and out: plain text, Markdown, JSON lines (plain, gzip, zstandard) and Parquet, always
streamed."""

import codecs
import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from shizuku.errors import DocumentError
from shizuku.text.problems import Problems

__all__ = ["Document", "Problems", "document_id", "find_files", "read_documents", "write_documents"]

TEXT_SUFFIXES = (".txt", ".md")
LINES_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
PARQUET_SUFFIXES = (".parquet",)
SUFFIXES = TEXT_SUFFIXES + LINES_SUFFIXES + PARQUET_SUFFIXES
ROWS_AT_ONCE = 256
BYTES_TO_JUDGE = 65_536
"""How much of a text file is looked at to tell text from binary junk."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text with where it came from."""

    id: str
    """16 hexadecimal digits, a hash of the source and the ordinal in it (or the id that the file itself
    gave).
    """
    text: str
    """The text, never empty."""
    source: str
    """What splits must keep together: a file, a package, a day, a person."""


def document_id(source: str, ordinal: int) -> str:
    """The id of document number `ordinal` of `source`: 16 hexadecimal digits of BLAKE2b."""
    return hashlib.blake2b(f"{source}\0{ordinal}".encode(), digest_size=8).hexdigest()


def read_documents(
    paths: Sequence[str | Path], *, field: str = "text", problems: Problems | None = None
) -> Iterator[Document]:
    """Stream the documents of `paths` (files, or folders searched in sorted order).

    A .txt or .md file is one document; in JSON lines and Parquet each record is one, its text under `field`,
    its `id` and `source` taken from the record where it has them. Broken lines, records without text, and
    text files that are not UTF-8 are skipped and counted in `problems`. Raises DocumentError if a path is
    missing, nothing readable is there, a file is binary junk, the field is in no record, or no text is left.
    """
    problems = problems if problems is not None else Problems()
    files = find_files(paths)
    number = 0
    for file in files:
        for document in _read_file(file, field, problems):
            number += 1
            yield document
    if number == 0:
        seen = ", ".join(str(path) for path in paths)
        detail = f": {problems.report()}" if problems else ": the files are empty"
        raise DocumentError(f"no text in {seen}{detail}. Give --text a file or folder that holds some.")


def find_files(paths: Sequence[str | Path]) -> list[Path]:
    """The readable files under `paths`, folders searched in sorted order, hidden entries left out.

    Raises DocumentError if a path does not exist, is of another kind, or a folder holds no readable file.
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    if not paths:
        raise DocumentError("no path was given. Give --text one or more files or folders.")
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if _suffix(p) and p.is_file() and not _hidden(p, path))
            if not inside:
                raise DocumentError(
                    f"the folder {path} holds no {', '.join(SUFFIXES)} file. {_contents(path)}"
                )
            found += inside
        elif not path.exists():
            raise DocumentError(f"{path} does not exist. Check the path given to --text.")
        elif _suffix(path) is None:
            raise DocumentError(
                f"{path} is not a kind of file that can be read: expected {', '.join(SUFFIXES)}."
            )
        else:
            found.append(path)
    return found


def write_documents(documents: Iterable[Document], path: str | Path) -> int:
    """Write `documents` to a Parquet file (id, text, source), streaming; returns how many were written."""
    schema = pa.schema([("id", pa.string()), ("text", pa.string()), ("source", pa.string())])
    number = 0
    try:
        with pq.ParquetWriter(str(path), schema, compression="zstd") as writer:
            for rows in _batches(documents, ROWS_AT_ONCE * 4):
                columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
                writer.write_table(pa.table(columns, schema=schema))
                number += len(rows)
    except OSError as error:
        raise DocumentError(f"could not write {path}: {error}. Check the disk's space and rights.") from error
    return number


def _batches(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    rows: list[Document] = []
    for document in documents:
        rows.append(document)
        if len(rows) == size:
            yield rows
            rows = []
    if rows:
        yield rows


def _suffix(path: Path) -> str | None:
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _contents(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    if not names:
        return "It is empty."
    return f"It holds {', '.join(names[:5])}{', …' if len(names) > 5 else ''}."


def _read_file(path: Path, field: str, problems: Problems) -> Iterator[Document]:
    suffix = _suffix(path)
    try:
        if suffix in TEXT_SUFFIXES:
            yield from _read_text(path, problems)
        elif suffix in LINES_SUFFIXES:
            yield from _read_lines(path, field, problems)
        else:
            yield from _read_parquet(path, field, problems)
    except PermissionError as error:
        raise DocumentError(
            f"{path} cannot be read: {error.strerror}. Change its rights or leave it out."
        ) from error


def _read_text(path: Path, problems: Problems) -> Iterator[Document]:
    with path.open("rb") as file:
        refuse_binary(file.read(BYTES_TO_JUDGE), path)
        file.seek(0)
        data = file.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.add("not UTF-8", f"{path}, byte {error.start:,}")
        return
    if not text.strip():
        problems.add("no text", str(path))
        return
    yield Document(document_id(str(path), 0), text.replace("\r\n", "\n"), str(path))


def refuse_binary(head: bytes, path: Path) -> None:
    """DocumentError where a file's first bytes are no text in any encoding that we read.

    NUL bytes, or a tenth of control characters, are none.
    """
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DocumentError(f"{path} is UTF-16; expected UTF-8. Convert it: iconv -f UTF-16 -t UTF-8.")
    controls = sum(byte < 9 or 13 < byte < 27 for byte in head)
    if b"\0" in head or controls > len(head) / 10:
        raise DocumentError(
            f"{path} is binary ({controls:,} control bytes of {len(head):,}); expected UTF-8 text."
        )


def _read_lines(path: Path, field: str, problems: Problems) -> Iterator[Document]:
    """JSON lines. A line that breaks is skipped; if none at all is JSON, the file is junk."""
    good = 0
    fields: dict[str, None] = {}
    with closing(open_lines(path)) as stream:
        number = 0
        for number, line in _lines(stream, path, problems):
            record = read_record(line, f"{path}:{number}", problems)
            if record is None:
                continue
            if good == 0 and len(fields) < 100:
                fields.update(dict.fromkeys(record))
            if field not in record:
                problems.add(f"no field {field!r}", f"{path}:{number}")
                continue
            good += 1
            document = _from_record(record, field, str(path), number - 1, f"{path}:{number}", problems)
            if document is not None:
                yield document
    if good == 0 and fields:
        raise _no_field(field, list(fields), path)
    if good == 0 and number > 0 and not fields:
        raise DocumentError(f"{path} holds no JSON record in {number:,} lines. {problems.report()}")


def open_lines(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked where its name ends in .gz or .zst."""
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if path.name.lower().endswith(".zst"):
        import zstandard

        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(path.open("rb"), closefd=True))
    return path.open("rb")


def _lines(stream: IO[bytes], path: Path, problems: Problems) -> Iterator[tuple[int, bytes]]:
    """Numbered lines from 1; a compressed stream that breaks off gives what came before, and is counted."""
    import zlib

    import zstandard

    number = 0
    try:
        for line in stream:
            number += 1
            yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        if number == 0:
            raise DocumentError(f"{path} is not the compressed file its name says: {error}.") from error
        problems.add("compressed file is damaged after this line", f"{path}:{number}")


def read_record(line: bytes, place: str, problems: Problems) -> dict[str, Any] | None:
    """The JSON object on a line; None for an empty one, and for what is none, which is counted."""
    if not line.strip():
        return None
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        problems.add("not UTF-8", place)
        return None
    except (ValueError, RecursionError):
        problems.add("not JSON", place)
        return None
    if not isinstance(record, dict):
        problems.add("not a JSON object", place)
        return None
    return record


def _from_record(
    record: dict[str, Any], field: str, path: str, ordinal: int, place: str, problems: Problems
) -> Document | None:
    text = record[field]
    if not isinstance(text, str):
        problems.add(f"field {field!r} is not a string", place)
        return None
    if not text.strip():
        problems.add("no text", place)
        return None
    if not _encodable(text):
        problems.add("half of a surrogate pair", place)
        return None
    source = record.get("source")
    source = source if isinstance(source, str) and source else path
    given = record.get("id")
    name = given if isinstance(given, str) and given and field != "id" else document_id(path, ordinal)
    return Document(name, text, source)


def _encodable(text: str) -> bool:
    """JSON can spell half a character (a lone surrogate), which no UTF-8 file and no tokenizer takes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _read_parquet(path: Path, field: str, problems: Problems) -> Iterator[Document]:
    try:
        file = pq.ParquetFile(str(path))
    except (pa.ArrowInvalid, OSError) as error:
        raise DocumentError(f"{path} is not a Parquet file that can be read: {error}.") from error
    with file:
        names = file.schema_arrow.names
        if field not in names:
            raise _no_field(field, names, path)
        columns = [name for name in dict.fromkeys((field, "id", "source")) if name in names]
        ordinal = 0
        try:
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns):
                for record in batch.to_pylist():
                    place = f"{path}, row {ordinal:,}"
                    document = _from_record(record, field, str(path), ordinal, place, problems)
                    ordinal += 1
                    if document is not None:
                        yield document
        except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
            raise DocumentError(f"{path} is damaged after row {ordinal:,}: {error}.") from error


def _no_field(field: str, there: list[str], path: Path) -> DocumentError:
    names = ", ".join(there[:20])
    return DocumentError(
        f"{path} has no field {field!r}; it has: {names}. Name the text's field with --field."
    )
