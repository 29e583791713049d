"""Token shards: a corpus as memory-mapped token files, with an index that leads each token to its record.

A shard directory holds `tokens-00000.bin`, … (raw little-endian uint16, or uint32 from a vocabulary of
65,536 on; a document never straddles two files), `offsets.npy` (int64 [documents + 1], where each document
starts, counted over all files), `records.npy` (uint64 [documents], 16 hexadecimal digits for each record's
id) and `index.json` (format, sizes, tokenizer digest, and the size and digest of every file).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shizuku.errors import DocumentError, TokenizerError

if TYPE_CHECKING:
    from shizuku.text.documents import Document, Problems
    from shizuku.text.tokenizer import Tokenizer

FORMAT = 1
INDEX = "index.json"
OFFSETS = "offsets.npy"
RECORDS = "records.npy"
SHARD_TOKENS = 1 << 27
"""Tokens after which a new token file is begun: 256 MB of uint16."""
ENCODE_CHARACTERS = 1 << 20
"""Characters handed to the tokenizer at once: enough for its threads, little enough for memory."""
AGAIN = "write the shards again from the text (a new --out, or delete that directory)"


@dataclass(frozen=True, slots=True)
class ShardSet:
    """An opened shard directory; nothing is read into memory until tokens are asked for."""

    directory: Path
    """Where the files are."""
    vocab_size: int
    """Ids run from 0 to vocab_size - 1."""
    documents: int
    """How many documents there are."""
    tokens: int
    """How many tokens there are, document start and end tokens counted."""
    text_bytes: int
    """UTF-8 bytes of the text that the tokens stand for."""
    document_start_id: int | None
    """The token before each document, if the tokenizer has one."""
    eos_id: int | None
    """The token that means "it ends here", if the tokenizer has one."""
    digest: str
    """Digest of the whole set: of every file's digest and of the tokenizer's."""
    tokenizer_digest: str
    """Digest of the tokenizer that made the tokens."""
    offsets: np.ndarray
    """int64 [documents + 1]: document i is tokens offsets[i] to offsets[i + 1]."""
    records: np.ndarray
    """uint64 [documents]: the record key of each document as a number."""
    _files: tuple[np.ndarray, ...]
    _file_starts: np.ndarray

    @classmethod
    def open(
        cls, directory: str | Path, *, tokenizer: Tokenizer | None = None, verify: bool = True
    ) -> ShardSet:
        """Opens a directory that `write_shards` wrote.

        With `tokenizer`, shards that another tokenizer made are refused; `verify=False` leaves out the
        digests (sizes are always checked). Raises DocumentError naming the file that is missing, cut short
        or changed.
        """
        directory = Path(directory)
        index = _read_index(directory)
        _check_files(directory, index, verify=verify)
        if tokenizer is not None and digest_of_tokenizer(tokenizer) != index["tokenizer"]:
            raise TokenizerError(
                f"{directory / INDEX}: these tokens were made by another tokenizer than the one given; "
                f"give the tokenizer that made them (--tokenizer), or {AGAIN}"
            )
        offsets = np.load(directory / OFFSETS, mmap_mode="r", allow_pickle=False)
        records = np.load(directory / RECORDS, mmap_mode="r", allow_pickle=False)
        if len(offsets) != index["documents"] + 1 or offsets[-1] != index["tokens"]:
            raise DocumentError(f"{directory / OFFSETS}: does not agree with {INDEX}; {AGAIN}")
        files = tuple(
            np.memmap(directory / name, dtype=np.dtype(index["dtype"]), mode="r")
            for name in sorted(index["files"])
            if name.endswith(".bin")
        )
        return cls(
            directory=directory,
            vocab_size=index["vocab_size"],
            documents=index["documents"],
            tokens=index["tokens"],
            text_bytes=index["text_bytes"],
            document_start_id=index["document_start_id"],
            eos_id=index["eos_id"],
            digest=_digest_of_set(index),
            tokenizer_digest=index["tokenizer"],
            offsets=offsets,
            records=records,
            _files=files,
            _file_starts=np.cumsum([0, *(len(file) for file in files)]),
        )

    def document(self, number: int) -> np.ndarray:
        """The tokens of one document, start and end tokens included: a read-only view, [T]."""
        if not 0 <= number < self.documents:
            raise DocumentError(
                f"document {number} asked for; {self.directory} has 0 to {self.documents - 1}"
            )
        start, end = int(self.offsets[number]), int(self.offsets[number + 1])
        file = int(np.searchsorted(self._file_starts, start, side="right")) - 1
        first = int(self._file_starts[file])
        return self._files[file][start - first : end - first]

    def take(self, indices: np.ndarray) -> np.ndarray:
        """The tokens at `indices` (int64, any shape, counted over all files) as int64 of the same shape."""
        if len(self._files) == 1:
            return self._files[0][indices].astype(np.int64)
        taken = np.empty(indices.shape, dtype=np.int64)
        file_of = np.searchsorted(self._file_starts, indices, side="right") - 1
        for file in np.unique(file_of):
            here = file_of == file
            taken[here] = self._files[file][indices[here] - self._file_starts[file]]
        return taken

    def record_of(self, number: int) -> str:
        """The record id of one document, as `record_key` gives it."""
        return f"{int(self.records[number]):016x}"

    def record_at(self, token_index: int) -> str:
        """The id of the record that the token at `token_index` (counted over all files) came from."""
        if not 0 <= token_index < self.tokens:
            raise DocumentError(f"token {token_index} asked for; {self.directory} has 0 to {self.tokens - 1}")
        return self.record_of(int(np.searchsorted(self.offsets, token_index, side="right")) - 1)


def record_key(record_id: str) -> str:
    """What the index keeps of an id: itself if it is 16 hexadecimal digits, else its BLAKE2b in 16."""
    if len(record_id) == 16 and set(record_id) <= set("0123456789abcdef"):
        return record_id
    return hashlib.blake2b(record_id.encode(), digest_size=8).hexdigest()


def digest_of_tokenizer(tokenizer: Tokenizer) -> str:
    """Digest of all that decides which tokens a text becomes, document borders included."""
    borders = json.dumps([tokenizer.vocab_size, tokenizer.document_start_id, tokenizer.eos_id])
    return hashlib.blake2b((tokenizer.backend.to_str() + borders).encode(), digest_size=16).hexdigest()


def write_shards(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    directory: str | Path,
    *,
    shard_tokens: int = SHARD_TOKENS,
    problems: Problems | None = None,
) -> ShardSet:
    """Tokenises documents in a stream and writes them as shards; the directory appears only when it is whole.

    Each document is the document start token (if there is one), its tokens, and the end token where that is
    another one. Documents without text are left out and counted in `problems`. Raises DocumentError when
    nothing is left, when the disk is full, or when `directory` holds something that is not a shard set.
    """
    directory = Path(directory)
    with _replacing(directory) as building:
        writer = _Writer(building, tokenizer, shard_tokens)
        for batch in _batches(documents, problems):
            writer.add(batch)
        writer.finish()
    return ShardSet.open(directory, verify=False)


class _Writer:
    """Appends documents to token files and keeps the index of what it wrote."""

    def __init__(self, directory: Path, tokenizer: Tokenizer, shard_tokens: int) -> None:
        self.directory, self.tokenizer, self.shard_tokens = directory, tokenizer, shard_tokens
        self.dtype = np.dtype("<u2" if tokenizer.vocab_size < 65536 else "<u4")
        start, eos = tokenizer.document_start_id, tokenizer.eos_id
        self.before = [] if start is None else [start]
        self.after = [] if eos is None or eos == start else [eos]
        self.offsets, self.records = array("q", [0]), array("Q")
        self.text_bytes = 0
        self.unwritten = bytearray()
        self.shards = 0
        self.in_shard = shard_tokens  # so that the first document opens a file

    def add(self, batch: list[Document]) -> None:
        encoded = self.tokenizer.encode_batch([document.text for document in batch])
        for document, ids in zip(batch, encoded, strict=True):
            tokens = np.array(self.before + ids + self.after, dtype=np.int64)
            if not len(tokens):
                continue
            if tokens.max() >= self.tokenizer.vocab_size:
                raise TokenizerError(
                    f"the tokenizer gave id {tokens.max()}, its vocabulary has {self.tokenizer.vocab_size}"
                )
            if self.in_shard >= self.shard_tokens:
                self._flush()
                self.shards += 1
                self.in_shard = 0
            self.unwritten += tokens.astype(self.dtype).tobytes()
            self.in_shard += len(tokens)
            self.offsets.append(self.offsets[-1] + len(tokens))
            self.records.append(int(record_key(document.id), 16))
            self.text_bytes += len(document.text.encode("utf-8"))
        self._flush()

    def _flush(self) -> None:
        if self.unwritten:
            with (self.directory / f"tokens-{self.shards - 1:05d}.bin").open("ab") as file:
                file.write(self.unwritten)
            self.unwritten = bytearray()

    def finish(self) -> None:
        if not self.records:
            raise DocumentError(
                "there is no text to tokenise: every document was empty, or there was none (--text)"
            )
        np.save(self.directory / OFFSETS, np.frombuffer(self.offsets, dtype=np.int64))
        np.save(self.directory / RECORDS, np.frombuffer(self.records, dtype=np.uint64))
        files = {path.name: _fingerprint(path) for path in sorted(self.directory.iterdir())}
        index = {
            "format": FORMAT,
            "dtype": self.dtype.str,
            "vocab_size": self.tokenizer.vocab_size,
            "tokens": self.offsets[-1],
            "documents": len(self.records),
            "text_bytes": self.text_bytes,
            "document_start_id": self.tokenizer.document_start_id,
            "eos_id": self.tokenizer.eos_id,
            "tokenizer": digest_of_tokenizer(self.tokenizer),
            "files": files,
        }
        (self.directory / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _batches(documents: Iterable[Document], problems: Problems | None) -> Iterator[list[Document]]:
    batch: list[Document] = []
    characters = 0
    for document in documents:
        if not document.text:
            if problems is not None:
                problems.add("empty document", document.source)
            continue
        batch.append(document)
        characters += len(document.text)
        if characters >= ENCODE_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


@contextmanager
def _replacing(directory: Path) -> Iterator[Path]:
    """Gives a sibling to build in, which takes the place of `directory` when the block ends well."""
    if (
        directory.exists()
        and not (directory / INDEX).exists()
        and (not directory.is_dir() or any(directory.iterdir()))
    ):
        raise DocumentError(f"{directory} exists and is not a shard set; name another directory (--out)")
    building = directory.parent / f".{directory.name}.{os.getpid()}.writing"
    try:
        building.mkdir(parents=True)
        yield building
        if directory.exists():
            old = directory.parent / f".{directory.name}.{os.getpid()}.old"
            directory.rename(old)
            building.rename(directory)
            shutil.rmtree(old)
        else:
            building.rename(directory)
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
        raise DocumentError(
            f"cannot write token shards to {directory}: {reason}; make room or name another place (--out)"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _fingerprint(path: Path) -> dict[str, int | str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return {"bytes": path.stat().st_size, "digest": digest.hexdigest()}


def _digest_of_set(index: dict[str, Any]) -> str:
    content = json.dumps([index["format"], index["tokenizer"], index["files"]], sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def _read_index(directory: Path) -> dict[str, Any]:
    path = directory / INDEX
    if not path.is_file():
        raise DocumentError(f"{directory} is not a directory of token shards: it has no {INDEX}")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DocumentError(f"{path} is damaged ({error}); {AGAIN}") from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        seen = index.get("format") if isinstance(index, dict) else type(index).__name__
        raise DocumentError(f"{path}: shard format {seen}, this version reads {FORMAT}; {AGAIN}")
    wanted = {"dtype", "vocab_size", "tokens", "documents", "text_bytes", "document_start_id", "eos_id"}
    missing = (wanted | {"tokenizer", "files"}) - index.keys()
    if missing:
        raise DocumentError(f"{path} is damaged: it lacks {', '.join(sorted(missing))}; {AGAIN}")
    return index


def _check_files(directory: Path, index: dict[str, Any], *, verify: bool) -> None:
    for name, expected in index["files"].items():
        path = directory / name
        if Path(name).name != name or not path.is_file():
            raise DocumentError(f"{path} is missing; {AGAIN}")
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise DocumentError(f"{path} has {size} bytes where {INDEX} says {expected['bytes']}; {AGAIN}")
        if verify and _fingerprint(path) != expected:
            raise DocumentError(
                f"{path} was changed or damaged: its digest is not the one in {INDEX}; {AGAIN}"
            )
    if not {OFFSETS, RECORDS} <= index["files"].keys():
        raise DocumentError(f"{directory / INDEX} is damaged: it lists no {OFFSETS} or {RECORDS}; {AGAIN}")
