"""A tokenizer of one token a byte, and records for it: shards whose every token is known."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Record:
    id: str
    text: str
    source: str = "test"


class Backend:
    def to_str(self) -> str:
        return "one token a byte"


@dataclass
class ByteTokenizer:
    """One token a byte, above three control tokens."""

    vocab_size: int = 259
    document_start_id: int | None = 256
    eos_id: int | None = 257
    backend = Backend()

    def encode_batch(self, texts: Sequence[str], *, control: bool = False) -> list[list[int]]:
        return [list(text.encode()) for text in texts]


def records(texts: Sequence[str]) -> list[Record]:
    return [
        Record(hashlib.blake2b(f"{i}".encode(), digest_size=8).hexdigest(), text)
        for i, text in enumerate(texts)
    ]
