"""One door to the trainers: which kind of vocabulary, and which control tokens it needs."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from tokenizers import Tokenizer

from shizuku.errors import TokenizerError
from shizuku.text.special_tokens import SpecialTokens

Kind = Literal["byte-bpe", "characters"]
"""`byte-bpe` writes every text in merged bytes; `characters` has one token a character and an unknown."""

UNKNOWN = "<|unk|>"
"""Stands for what a vocabulary cannot write, where no other name is given."""


def train_vocabulary(
    texts: Iterable[str],
    vocab_size: int | None,
    *,
    kind: Kind,
    special: SpecialTokens,
    min_frequency: int,
    max_bytes: int,
) -> tuple[Tokenizer, SpecialTokens]:
    """A trained backend of a kind, and `special` with the unknown token that the kind needs.

    Raises TokenizerError if the kind or the size is not possible, saying what is.
    """
    from shizuku.text.bpe_training import train_byte_level
    from shizuku.text.character_vocabulary import train_characters

    if kind != "byte-bpe" and special.unk is None:
        special = replace(special, unk=UNKNOWN)
    names = tuple(dict.fromkeys([*special.named().values(), *special.control]))
    if not all(names):
        raise TokenizerError(f"control tokens must not be empty; seen: {', '.join(map(repr, names))}.")
    if kind == "characters":
        unknown = special.unk or UNKNOWN
        return train_characters(
            texts, vocab_size, special=names, unknown=unknown, max_bytes=max_bytes
        ), special
    if kind != "byte-bpe":
        raise TokenizerError(f"a vocabulary of kind {kind!r} is not known; known: byte-bpe, characters.")
    if vocab_size is None:
        raise TokenizerError(f"a vocabulary of kind {kind} needs a size. Give --vocab-size.")
    backend = train_byte_level(
        texts, vocab_size, special=names, min_frequency=min_frequency, max_bytes=max_bytes
    )
    return backend, special
