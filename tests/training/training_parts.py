"""A micro model and real shards of made-up text for the tests of this room."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from shizuku.data.shards import ShardSet, write_shards
from shizuku.models.decoder import Decoder, DecoderConfig, initialise
from shizuku.text.documents import Document
from shizuku.text.tokenizer import Tokenizer

CONTEXT = 16
WORDS = tuple("the cat dog sees a red blue house and runs to old river while rain falls on stones".split())  # noqa: SIM905


def decoder(**changes: Any) -> DecoderConfig:
    """A config of some ten thousand parameters."""
    shape = DecoderConfig(
        vocab_size=320, context=CONTEXT, width=16, layers=2, heads=2, ffn_width=32, qk_norm=True
    )
    return replace(shape, **{"kv_heads": 0, "head_width": 0, **changes})


def model(**changes: Any) -> Decoder:
    """The model of `decoder`, always with the same weights."""
    made = Decoder(decoder(**changes))
    initialise(made, 1)
    return made


def documents(count: int = 60, seed: int = 0) -> list[Document]:
    """Short texts of a few words, the same on every machine."""
    chooser = random.Random(seed)
    return [
        Document(
            id=f"{number:016x}",
            text=" ".join(chooser.choices(WORDS, k=chooser.randint(3, 30))),
            source=f"s{number}",
        )
        for number in range(count)
    ]


def corpus(directory: Path) -> tuple[Tokenizer, ShardSet]:
    """A trained tokenizer and the shards of `documents`."""
    texts = documents()
    tokenizer = Tokenizer.train((document.text for document in texts), 300)
    return tokenizer, write_shards(texts, tokenizer, directory)
