"""Conversations out of files: chat JSON lines, ShareGPT, columns of questions and answers, found out by
themselves.

What a record is, its keys say: `messages` (OpenAI), `conversations` with from and value (ShareGPT), or
columns such as instruction, input and output (Alpaca). Files are JSON lines or one JSON array, plain, .gz or
.zst, or Parquet.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from shizuku.errors import DocumentError
from shizuku.text.documents import BYTES_TO_JUDGE, Problems, open_lines, read_record, refuse_binary
from shizuku.tuning.examples import Conversation
from shizuku.tuning.turns import Refused, checked_turns, shared_turn, tools_of

__all__ = ["Conversations", "read_conversations", "read_items", "read_records"]

SUFFIXES = (".jsonl", ".json", ".ndjson", ".parquet")
COLUMNS = (
    ("instruction", "input", "output"),
    ("instruction", "context", "response"),
    ("prompt", None, "completion"),
    ("prompt", None, "response"),
    ("question", None, "answer"),
)
"""Columns that hold a question, more that belongs to it, and the answer."""


@dataclass(slots=True)
class Conversations:
    """What was read."""

    items: list[Conversation] = field(default_factory=list)
    """The conversations in the order of the files."""
    formats: Counter[str] = field(default_factory=Counter)
    """How many records were of each format."""

    def say(self) -> str:
        """One line: how many, and of which formats."""
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.formats.most_common())
        return f"read {len(self.items):,} conversations ({kinds})"


def read_conversations(
    paths: Sequence[str | Path] | str | Path, *, problems: Problems | None = None
) -> Conversations:
    """Read all conversations of `paths` into memory.

    Records that can't be learned from (no answer, an empty one, roles out of order, wrong types, broken
    lines) are skipped and counted in `problems` with their lines. Raises DocumentError for a missing or
    binary file, and where nothing is left.
    """
    return Conversations(
        *read_items(
            paths,
            _conversation,
            what="conversation",
            expected="messages (role, content), conversations (from, value), or columns such as instruction, "
            "input and output",
            problems=problems,
        )
    )


Item = TypeVar("Item")


def read_items(
    paths: Sequence[str | Path] | str | Path,
    read: Callable[[Mapping[str, Any], str], tuple[str, Item]],
    *,
    what: str,
    expected: str,
    problems: Problems | None,
) -> tuple[list[Item], Counter[str]]:
    """What `read` makes of each record and its place, and how many records were of each format that it names.

    Records that `read` refuses count in `problems`. DocumentError as of `read_records`, and, in the words of
    `what` and `expected`, where nothing is left.
    """
    problems = problems if problems is not None else Problems()
    items: list[Item] = []
    formats: Counter[str] = Counter()
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    for place, record in read_records(paths, problems=problems):
        try:
            kind, item = read(record, place)
        except Refused as reason:
            problems.add(str(reason), place)
            continue
        formats[kind] += 1
        items.append(item)
    if not items:
        seen = ", ".join(map(str, paths))
        why = problems.report() or "nothing in it"
        raise DocumentError(f"no {what} in {seen}: {why}. Expected records with {expected} (--data)")
    return items, formats


def read_records(
    paths: Sequence[str | Path], *, problems: Problems, others: tuple[str, ...] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each JSON object of the files with its place (`file:line`, or the record's number in an array).

    What is none is counted in `problems`; `others` are kinds of files that the caller reads itself. Raises
    DocumentError for a file that is missing, binary, of another kind, or holds no JSON.
    """
    for path in map(Path, paths):
        if not path.is_file():
            raise DocumentError(f"{path} does not exist or is a folder: check the path that was given.")
        name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
        if not name.endswith(SUFFIXES):
            raise DocumentError(f"{path}: expected {', '.join((*others, *SUFFIXES))} (plain, .gz or .zst)")
        try:
            yield from _parquet(path) if name.endswith(".parquet") else _json(path, problems)
        except PermissionError as error:
            raise DocumentError(f"{path} cannot be read: {error.strerror}. Change its rights.") from error


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(str(path)) as file:
            number = 0
            for batch in file.iter_batches(batch_size=256):
                for record in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number:,}", record
    except (pa.ArrowInvalid, OSError) as error:
        raise DocumentError(f"{path} is not a Parquet file that can be read: {error}.") from error


def _json(path: Path, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    data = _bytes(path)
    if not data.strip():
        problems.add("empty file", str(path))
        return
    refuse_binary(data[:BYTES_TO_JUDGE], path)
    opening = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    first = data.lstrip(b"\xef\xbb\xbf \t\r\n").split(b"\n", 1)[0]
    if opening == b"[" or (opening == b"{" and not _is_json(first)):
        whole = _whole(path, data)
        if whole is not None:
            yield from _records_of(whole, path, problems)
            return
    good = 0
    for number, line in enumerate(data.split(b"\n"), start=1):
        record = read_record(line, f"{path}:{number}", problems)
        if record is not None:
            good += 1
            yield f"{path}:{number}", record
    if not good:
        raise DocumentError(f"{path} holds no JSON record (--data). {problems.report()}")


def _bytes(path: Path) -> bytes:
    import gzip
    import zlib

    import zstandard

    try:
        with closing(open_lines(path)) as file:
            return file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise DocumentError(
            f"{path} is damaged, or not the compressed file its name says: {error}."
        ) from error


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def _whole(path: Path, data: bytes) -> Any:
    """The file as one JSON value; None where it is JSON lines whose first line is broken."""
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        if data.lstrip()[:1] == b"[":
            raise DocumentError(
                f"{path}: byte {error.start:,} is not UTF-8. Convert it: iconv -t UTF-8."
            ) from error
    except (ValueError, RecursionError) as error:
        if data.lstrip()[:1] == b"[" and not _is_json(data.lstrip().split(b"\n", 1)[0]):
            raise DocumentError(f"{path} begins as a JSON array, but is none: {error}.") from error
    return None


def _records_of(whole: Any, path: Path, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of an array, of an object that holds one array of objects, or one record."""
    if isinstance(whole, dict):
        lists = [value for value in whole.values() if isinstance(value, list) and value]
        inside = len(lists) == 1 and _kind(whole) is None and isinstance(lists[0][0], dict)
        whole = lists[0] if inside else [whole]
    for number, record in enumerate(whole if isinstance(whole, list) else [whole], start=1):
        place = f"{path}, record {number:,}"
        if isinstance(record, dict):
            yield place, record
        else:
            problems.add("not a JSON object", place)


def _kind(
    record: Mapping[str, Any],
) -> tuple[str, Callable[[Mapping[str, Any]], list[dict[str, Any]]]] | None:
    """The name of a record's format, and what reads its turns."""
    for key in ("messages", "conversations", "conversation"):
        if key in record:
            shared = _is_shared(record[key])
            name = "ShareGPT, from and value" if shared else f"chat, {key} with role and content"
            return name, partial(_listed, key=key, shared=shared)
    if isinstance(record.get("prompt"), list) and "completion" in record:
        return "chat, prompt and completion as messages", _prompt_and_completion
    for question, more, answer in COLUMNS:
        if question in record and answer in record:
            names = [name for name in (question, more, answer) if name and name in record]
            kind = " (Alpaca)" if question == "instruction" else ""
            return (
                f"columns {', '.join(names[:-1])} and {names[-1]}{kind}",
                partial(_columns, question=question, more=more, answer=answer),
            )
    return None


def _conversation(record: Mapping[str, Any], place: str) -> tuple[str, Conversation]:
    kind = _kind(record)
    if kind is None:
        raise Refused(f"no known format (keys: {', '.join(map(str, list(record)[:8]))})")
    name, turns = kind
    return name, Conversation(checked_turns(turns(record)), tools_of(record.get("tools")), place)


def _is_shared(turns: Any) -> bool:
    return isinstance(turns, list) and bool(turns) and isinstance(turns[0], dict) and "from" in turns[0]


def _listed(record: Mapping[str, Any], key: str, shared: bool) -> list[dict[str, Any]]:
    turns = record[key]
    if not isinstance(turns, list):
        raise Refused(f"{key} is not a list")
    given = [shared_turn(turn) if shared else turn for turn in turns]
    system = record.get("system")
    if isinstance(system, str) and system.strip() and not (given and given[0].get("role") == "system"):
        given = [{"role": "system", "content": system}, *given]
    return given


def _prompt_and_completion(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    completion = record["completion"]
    answer = [{"role": "assistant", "content": completion}] if isinstance(completion, str) else completion
    if not isinstance(answer, list):
        raise Refused("completion is neither text nor messages")
    return [*record["prompt"], *answer]


def _columns(record: Mapping[str, Any], question: str, more: str | None, answer: str) -> list[dict[str, Any]]:
    asked, further = record[question], record.get(more) if more else None
    for name, value in ((question, asked), (more, further), (answer, record[answer])):
        if value is not None and not isinstance(value, str):
            raise Refused(f"column {name} is not text")
    prompt = "\n\n".join(part for part in (asked, further) if part and part.strip())
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": record[answer]}]
    system = record.get("system")
    return [{"role": "system", "content": system}, *turns] if isinstance(system, str) and system else turns
