"""One door to the trainers: which kind of vocabulary, and which control tokens it needs."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, get_args

from tokenizers import Tokenizer

from shizuku.errors import TokenizerError
from shizuku.text.special_tokens import SpecialTokens
from shizuku.text.training_text import Wanted

Kind = Literal["byte-bpe", "character-bpe", "unigram", "wordpiece", "characters"]
"""`byte-bpe` writes every text in merged bytes. The others have an unknown token: `character-bpe` merges
characters, `unigram` takes the most probable of all segmentations, `wordpiece` is BERT's (small letters,
spaces not kept), `characters` has one token a character."""

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
    from shizuku.text.bpe_training import train_byte_level, train_character_level
    from shizuku.text.character_vocabulary import train_characters
    from shizuku.text.unigram_training import train_unigram
    from shizuku.text.wordpiece_training import train_wordpiece

    if kind not in get_args(Kind):
        raise TokenizerError(
            f"a vocabulary of kind {kind!r} is not known; known: {', '.join(get_args(Kind))}. Correct --kind."
        )
    if kind != "byte-bpe" and special.unk is None:
        special = replace(special, unk=UNKNOWN)
    names = _names(special)
    if kind == "characters":
        return train_characters(
            texts, vocab_size, special=names, unknown=str(special.unk), max_bytes=max_bytes
        ), special
    if vocab_size is None:
        raise TokenizerError(f"a vocabulary of kind {kind} needs a size. Give --vocab-size.")
    wanted = Wanted(
        vocab_size=vocab_size,
        special=names,
        unknown=special.unk,
        min_frequency=min_frequency,
        max_bytes=max_bytes,
    )
    if kind == "wordpiece":
        return train_wordpiece(texts, wanted, special), special
    trainers = {
        "byte-bpe": train_byte_level,
        "character-bpe": train_character_level,
        "unigram": train_unigram,
    }
    return trainers[kind](texts, wanted), special


def _names(special: SpecialTokens) -> tuple[str, ...]:
    names = tuple(dict.fromkeys([*special.named().values(), *special.control]))
    if not all(names):
        raise TokenizerError(f"control tokens must not be empty; seen: {', '.join(map(repr, names))}.")
    return names
