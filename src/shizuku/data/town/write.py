"""Writing the town: documents day by day, on several processes, to Parquet.

`choice_bits` of a document is the sum of -log2 p over every choice made while it was written: which
person or fact to tell of, which production, which synonym, a pronoun or a name. It is the information in
the writer's choices given the world (the facts of the town, the day, the language and the register). The
probability of the text given the world is at least the probability of this derivation, so -log2 p(text |
world) <= choice_bits: where several derivations give the same string, the sum is too high by what they
share. A reader who does not know the world must learn the facts as well, which the sum leaves out; so
bits over bytes is an estimate of the entropy floor for a reader who knows the town, not a bound on either
side for one who does not.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import pyarrow as pa
import pyarrow.parquet as pq

from shizuku.data.town.days import Days
from shizuku.data.town.facts import FACT_SCHEMA, fact_table
from shizuku.data.town.languages import languages_of
from shizuku.data.town.plans import DECK, PLANS
from shizuku.data.town.randomness import Choices
from shizuku.data.town.records import standing_records
from shizuku.data.town.voice import Draft
from shizuku.data.town.world import HELD_OUT_EVERY, Town, build_town
from shizuku.errors import DocumentError

DAYS_PER_MEGABYTE = 50
MOST_DAYS = 3000
CHUNK = 10
"""Days that a worker writes at a time."""
MOST_WORKERS = 256

DOCUMENT_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("language", pa.string()),
        ("register", pa.string()),
        ("day", pa.int32()),
        ("split", pa.string()),
        ("choice_bits", pa.float64()),
    ]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TownDocument:
    """One document of the town, with the columns of documents.parquet."""

    id: str
    text: str
    source: str
    language: str
    register: str
    day: int
    split: str
    """train, heldout_day (it tells of a held-out day) or heldout_person (it names a held-out person)."""
    choice_bits: float
    """Information in the writer's choices, in bits (see the module's docstring)."""

    @property
    def bytes(self) -> int:
        """Length of the text in UTF-8."""
        return len(self.text.encode("utf-8"))


@dataclass(frozen=True, kw_only=True, slots=True)
class TownSummary:
    """What was written where."""

    directory: Path
    documents_path: Path
    facts_path: Path
    days: int
    """How many days the town lives: `build_town(seed, days=days)` is its world."""
    bytes: int
    documents: int
    sentences: int
    facts: int
    choice_bits: float
    bytes_by_split: dict[str, int]
    bytes_by_language: dict[str, int]
    documents_by_register: dict[str, int]
    digest: str
    """blake2b (32 hex digits) of all texts in order."""
    seconds: float


def days_for(megabytes: float) -> int:
    """How many days a text of this size tells of: whole blocks, each with one held-out day."""
    blocks = round(megabytes * DAYS_PER_MEGABYTE / HELD_OUT_EVERY)
    return HELD_OUT_EVERY * min(max(1, blocks), MOST_DAYS // HELD_OUT_EVERY)


class TownWriter:
    """Writes any day of a town: the same documents whoever writes it and whenever."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.days = Days(town)
        self.languages = languages_of(town)

    def day(self, day: int, size: float) -> Iterator[TownDocument]:
        """The day's documents, up to about `size` bytes, registers mixed and languages balanced."""
        deal = Choices(self.town.seed, "deck", day)
        deck: list[str] = []
        written = {"en": 0, "ja": 0}
        first = "en" if deal.chance(0.5) else "ja"
        ordinal = 0
        while sum(written.values()) < size:
            if not deck:
                deck = deal.shuffled(DECK)
            register = deck.pop()
            even = written["en"] == written["ja"]
            language = first if even else min(written, key=written.__getitem__)
            document = self.document(day, ordinal, language, register)
            written[language] += document.bytes
            ordinal += 1
            yield document

    def document(self, day: int, ordinal: int, language: str, register: str) -> TownDocument:
        """One document; `ordinal` is its number within the day."""
        choices = Choices(self.town.seed, "document", day, ordinal)
        draft = Draft(self.town, self.languages[language], choices, day)
        draft.days.add(day)
        PLANS[register](draft, self.days)
        source = f"town/day-{day:04d}/{register}"
        return TownDocument(
            id=blake2b(f"{source}/{ordinal}".encode(), digest_size=8).hexdigest(),
            text=draft.text,
            source=source,
            language=language,
            register=register,
            day=day,
            split=self._split(draft),
            choice_bits=choices.bits,
        )

    def _split(self, draft: Draft) -> str:
        if any(self.town.is_held_out(day) for day in draft.days if day >= 0):
            return "heldout_day"
        if any(self.town.people[person].held_out for person in draft.mentioned):
            return "heldout_person"
        return "train"


_WRITERS: dict[tuple[int, int], TownWriter] = {}
"""Each process builds its writer once; it is a pure function of its key."""


def _write_chunk(
    seed: int, days: int, chunk: range, size: float, with_facts: bool
) -> tuple[list[TownDocument], pa.Table]:
    """Documents and facts of some days: the work that is handed to a process."""
    writer = _WRITERS.get((seed, days))
    if writer is None:
        _WRITERS.clear()
        writer = _WRITERS[seed, days] = TownWriter(build_town(seed, days=days))
    documents: list[TownDocument] = []
    records = []
    for day in chunk:
        documents.extend(writer.day(day, size))
        if with_facts:
            records.extend(writer.days.records(day))
    return documents, fact_table(records)


def _chunks(
    seed: int, days: int, size: float, workers: int, with_facts: bool
) -> Iterator[tuple[list[TownDocument], pa.Table]]:
    """All chunks in order, on as many processes as asked; no more than a few wait to be taken."""
    chunks = [range(start, min(start + CHUNK, days)) for start in range(0, days, CHUNK)]
    if workers <= 1:
        for chunk in chunks:
            yield _write_chunk(seed, days, chunk, size, with_facts)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        rest = iter(chunks)
        waiting = [
            pool.submit(_write_chunk, seed, days, c, size, with_facts) for c in islice(rest, 3 * workers)
        ]
        while waiting:
            yield waiting.pop(0).result()
            for chunk in islice(rest, 1):
                waiting.append(pool.submit(_write_chunk, seed, days, chunk, size, with_facts))


def _checked(megabytes: float, workers: int) -> float:
    if not 0.02 <= megabytes <= 10_000:
        raise DocumentError(f"the town can be 0.02 to 10000 megabytes, not {megabytes}: change --megabytes")
    if not 1 <= workers <= MOST_WORKERS:
        raise DocumentError(f"1 to {MOST_WORKERS} workers can write, not {workers}: change --workers")
    return megabytes * 1e6


def town_documents(*, megabytes: float = 20, seed: int = 0, workers: int = 1) -> Iterator[TownDocument]:
    """The town's documents in order, until they reach the size (in MB of 10**6 bytes of UTF-8)."""
    target = _checked(megabytes, workers)
    days = days_for(megabytes)
    written = 0
    for documents, _ in _chunks(seed, days, target / days, workers, with_facts=False):
        for document in documents:
            if written >= target:
                return
            written += document.bytes
            yield document


def write_town(
    directory: str | Path,
    *,
    megabytes: float = 20,
    seed: int = 0,
    workers: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> TownSummary:
    """Write documents.parquet and facts.parquet; `on_progress(bytes so far, bytes wanted)` hears of it.

    Raises DocumentError for a size or a number of workers that makes no sense.
    """
    started = perf_counter()
    target = _checked(megabytes, workers)
    days = days_for(megabytes)
    directory = Path(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DocumentError(
            f"the town cannot be written to {directory} ({error.strerror}): choose another --out"
        ) from error
    tally = _Tally()
    documents_path, facts_path = directory / "documents.parquet", directory / "facts.parquet"
    with (
        pq.ParquetWriter(documents_path, DOCUMENT_SCHEMA) as texts,
        pq.ParquetWriter(facts_path, FACT_SCHEMA) as facts,
    ):
        standing = fact_table(standing_records(build_town(seed, days=days)))
        facts.write_table(standing)
        tally.facts = standing.num_rows
        for documents, table in _chunks(seed, days, target / days, workers, with_facts=True):
            facts.write_table(table)
            tally.facts += table.num_rows
            kept = [document for document in documents if tally.take(document, target)]
            columns = {name: [getattr(d, name) for d in kept] for name in DOCUMENT_SCHEMA.names}
            texts.write_table(pa.table(columns, schema=DOCUMENT_SCHEMA))
            if on_progress is not None:
                on_progress(tally.bytes, int(target))
    return TownSummary(
        directory=directory,
        documents_path=documents_path,
        facts_path=facts_path,
        days=days,
        bytes=tally.bytes,
        documents=tally.documents,
        sentences=tally.sentences,
        facts=tally.facts,
        choice_bits=tally.choice_bits,
        bytes_by_split=tally.by_split,
        bytes_by_language=tally.by_language,
        documents_by_register=tally.by_register,
        digest=tally.hash.hexdigest(),
        seconds=perf_counter() - started,
    )


def read_town(path: str | Path) -> Iterator[TownDocument]:
    """The documents of a documents.parquet."""
    for batch in pq.ParquetFile(path).iter_batches():
        for row in batch.to_pylist():
            yield TownDocument(**row)


class _Tally:
    """What has been written so far."""

    def __init__(self) -> None:
        self.bytes = self.documents = self.sentences = self.facts = 0
        self.choice_bits = 0.0
        self.by_split = {"train": 0, "heldout_day": 0, "heldout_person": 0}
        self.by_language = {"en": 0, "ja": 0}
        self.by_register: dict[str, int] = {}
        self.hash = blake2b(digest_size=16)

    def take(self, document: TownDocument, target: float) -> bool:
        """Count a document, unless the size is reached."""
        if self.bytes >= target:
            return False
        size = document.bytes
        self.bytes += size
        self.documents += 1
        text = document.text
        self.sentences += sum(text.count(mark) for mark in ".?!。？！")
        self.choice_bits += document.choice_bits
        self.by_split[document.split] += size
        self.by_language[document.language] += size
        self.by_register[document.register] = self.by_register.get(document.register, 0) + 1
        self.hash.update(text.encode("utf-8") + b"\x00")
        return True
