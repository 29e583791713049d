"""`shizuku tokenizer train`: a vocabulary from your text."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shizuku.config import VerbConfig
from shizuku.errors import ConfigError, DocumentError
from shizuku.progress import say
from shizuku.text.vocabulary_training import Kind

MEASURED_BYTES = 4_000_000
"""How much text is encoded afterwards to measure bytes per token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VerbConfig):
    """Train a tokenizer."""

    text: tuple[Path, ...]
    """Files or folders to learn from: txt, md, JSONL (.gz, .zst) and Parquet."""
    out: Path
    """Folder for tokenizer.json and its companions; made if missing."""
    vocab_size: int | None = None
    """Number of ids, the control tokens among them. Left out, the kind `characters` takes every character."""
    kind: Kind = "byte-bpe"
    """`byte-bpe` can write every text. The others have an unknown token: `character-bpe` merges characters,
    `unigram` takes the most probable segmentation, `wordpiece` reads text as BERT does (small letters, no
    accents, no spaces kept), `characters` has one token a character."""
    field: str = "text"
    """Field that holds the text in JSONL and Parquet."""
    min_frequency: int = 2
    """A pair must occur this often to be merged."""
    max_bytes: int = 512_000_000
    """Stop reading after this many bytes of text; more rarely changes a vocabulary and costs memory."""
    dry_run: bool = False
    """Say what would be read, and stop."""

    def __post_init__(self) -> None:
        if self.min_frequency < 1:
            raise ConfigError(f"--min-frequency is {self.min_frequency}; expected 1 or more.")
        if self.max_bytes < 1:
            raise ConfigError(f"--max-bytes is {self.max_bytes}; expected 1 or more.")


def run(config: Config) -> dict[str, object]:
    """Train, save and measure; returns vocab_size, seconds, bytes_per_token and unknown_characters."""
    from shizuku.text.documents import Problems, find_files, read_documents
    from shizuku.text.tokenizer import Tokenizer

    if config.vocab_size is None and config.kind != "characters":
        raise ConfigError(f"a vocabulary of kind {config.kind} needs a size. Give --vocab-size.")
    files = find_files(config.text)
    if config.dry_run:
        size = sum(file.stat().st_size for file in files)
        return {"dry_run": True, "files": len(files), "bytes": size, "out": str(config.out)}
    problems = Problems()
    measured: list[str] = []
    room = MEASURED_BYTES

    def texts() -> Iterator[str]:
        nonlocal room
        for document in read_documents(config.text, field=config.field, problems=problems):
            if room > 0:
                measured.append(document.text[:room])
                room -= len(document.text)
            yield document.text

    wanted = "all characters" if config.vocab_size is None else f"{config.vocab_size:,}"
    say(f"training a vocabulary of {wanted}, kind {config.kind}; files to read: {len(files):,}")
    start = time.perf_counter()
    tokenizer = Tokenizer.train(
        texts(),
        config.vocab_size,
        kind=config.kind,
        min_frequency=config.min_frequency,
        max_bytes=config.max_bytes,
    )
    seconds = time.perf_counter() - start
    if problems:
        say(problems.report())
    tokenizer.save(config.out)
    tokens = sum(map(len, tokenizer.encode_batch(measured)))
    if tokens == 0:
        raise DocumentError("the text that was read holds no token to measure. Give --text more of it.")
    written = sum(len(text.encode()) for text in measured)
    return {
        "tokenizer": str(config.out),
        "kind": config.kind,
        "vocab_size": tokenizer.vocab_size,
        "seconds": round(seconds, 3),
        "bytes_per_token": round(written / tokens, 4),
        "unknown_characters": tokenizer.unknown_characters(measured),
        "skipped": dict(problems.counts),
    }


def show(result: dict[str, object]) -> None:
    """Print what was made, or what would be."""
    if result.get("dry_run"):
        print(f"would read {result['bytes']:,} bytes (files: {result['files']:,}) and write {result['out']}")
        return
    print(
        f"{result['tokenizer']}: {result['vocab_size']:,} ids in {result['seconds']:.1f} s, "
        f"{result['bytes_per_token']:.2f} bytes a token on the text it learned from"
        + (f", {result['unknown_characters']:,} characters unknown" if result["unknown_characters"] else "")
    )
