"""The first part of a life: gather documents, clean and split them, drop held-out text seen in training."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from shizuku.data.cleaning import Ledger, clean, drop_duplicates
from shizuku.data.exercises import exercises
from shizuku.data.installed import python_documents
from shizuku.data.overlap import drop_overlapping
from shizuku.data.splitting import split_by_source
from shizuku.data.town import write_town
from shizuku.errors import DocumentError
from shizuku.life.settings import LifeConfig
from shizuku.progress import bar
from shizuku.text.documents import Document, Problems, read_documents, write_documents

TOWN, PYTHON = "town", "python"
GATHERED, TRAIN, HELDOUT = "gathered.parquet", "train.parquet", "heldout.parquet"
LEAST_BYTES = 10_000
TOWN_MEGABYTES_PER_MINUTE = 3.0
"""About the bytes that a model of the planned size gets through in a minute on two cores."""


def gather(config: LifeConfig, directory: Path) -> dict[str, Any]:
    """Write the raw documents to `gathered.parquet` (the town: to its own folder) and count them."""
    directory.mkdir(parents=True, exist_ok=True)
    if config.text == (TOWN,):
        megabytes = min(max(TOWN_MEGABYTES_PER_MINUTE * config.minutes, 0.4), 100.0)
        with bar("writing the town", total=megabytes, unit="MB") as progress:
            town = write_town(
                directory,
                megabytes=megabytes,
                seed=config.seed,
                on_progress=lambda written, _: progress.update(completed=written / 1e6),
            )
        return {
            "documents": town.documents,
            "bytes": town.bytes,
            "days": town.days,
            "digest": town.digest,
            "problems": "",
        }
    problems = Problems()
    if config.text == (PYTHON,):
        documents: Iterator[Document] = python_documents()
    else:
        documents = read_documents(config.text, field=config.field, problems=problems)
    counted = {"documents": 0, "bytes": 0}
    with bar("gathering text", unit="documents") as progress:

        def count() -> Iterator[Document]:
            for document in documents:
                counted["documents"] += 1
                counted["bytes"] += len(document.text.encode())
                progress.advance()
                yield document

        write_documents(count(), directory / GATHERED)
    return {**counted, "problems": problems.report()}


def prepare(text: Sequence[str], directory: Path, *, heldout_bytes: int, seed: int) -> dict[str, Any]:
    """Clean, drop duplicates, split by source, drop overlapping held-out text; writes both parts."""
    ledger = Ledger()
    if tuple(text) == (TOWN,):
        train, heldout = _town_split(directory)
        train, heldout = list(drop_duplicates(train, ledger)), list(drop_duplicates(heldout, ledger))
        how = "whole days and whole people are held out"
    else:
        documents = list(drop_duplicates(clean(_gathered(directory), ledger), ledger))
        size = sum(len(document.text.encode()) for document in documents)
        if size < LEAST_BYTES:
            raise DocumentError(
                f"--text: {size:,} bytes are left after cleaning, too few for a life; "
                f"give {LEAST_BYTES:,} or more"
            )
        # A small text gives at most a tenth away.
        split = split_by_source(documents, heldout_bytes=min(heldout_bytes, size // 10), seed=seed)
        train, heldout, how = split.train, split.heldout, split.note
    checked = drop_overlapping(train, heldout, ledger=ledger)
    if not train or not checked.kept:
        raise DocumentError(
            f"--text: {len(train)} training and {len(checked.kept)} held-out documents are left after "
            "cleaning, too few for a life; give more text"
        )
    for name, part in (("training", train), ("held-out", checked.kept)):
        if tuple(text) != (TOWN,) and next(exercises(part, seed=seed), None) is None:
            raise DocumentError(
                f"--text: no exercise can be made of the {name} text, as no two of its sentences that end "
                "with . ! ? 。 or । stand together; a life tunes on such, shizuku train learns from any text"
            )
    write_documents(train, directory / TRAIN)
    write_documents(checked.kept, directory / HELDOUT)
    return {
        "train_documents": len(train),
        "train_bytes": _bytes(train),
        "heldout_documents": len(checked.kept),
        "heldout_bytes": _bytes(checked.kept),
        "split": how,
        "dropped": ledger.counts(),
        "mended": dict(ledger.changes),
        "overlap": checked.after,
        "overlap_before": checked.before,
        "overlapping_documents": checked.dropped,
    }


def is_town(config: LifeConfig) -> bool:
    """Whether the text is the simulated town, whose truth is known."""
    return tuple(config.text) == (TOWN,)


def documents_of(path: Path) -> Iterator[Document]:
    """The documents of one of the life's Parquet files."""
    return read_documents([path])


def _gathered(directory: Path) -> Iterator[Document]:
    return read_documents([directory / GATHERED])


def _town_split(directory: Path) -> tuple[list[Document], list[Document]]:
    table = parquet.read_table(directory / "documents.parquet", columns=["id", "text", "source", "split"])
    train: list[Document] = []
    heldout: list[Document] = []
    for row in table.to_pylist():
        document = Document(id=row["id"], text=row["text"], source=row["source"])
        (train if row["split"] == "train" else heldout).append(document)
    return train, heldout


def _bytes(documents: Sequence[Document]) -> int:
    return sum(len(document.text.encode()) for document in documents)
