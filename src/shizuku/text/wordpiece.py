"""WordPiece vocabularies: words cut greedily into the longest entries, "##" before what continues a word.

Schuster and Nakajima 2012; BERT (Devlin et al. 2018). A word that cannot be cut into entries is the unknown
token as a whole. How text becomes words (case, accents, Chinese characters) is part of the vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from shizuku.errors import TokenizerError
from shizuku.text.special_tokens import SpecialTokens

BERT = SpecialTokens(pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]")
"""The control tokens of BERT, in its order."""
CONTINUING = "##"
LONGEST_WORD = 100
"""Longer words are unknown, as in BERT."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """How text becomes words."""

    lowercase: bool = True
    """Capital letters are made small."""
    strip_accents: bool | None = None
    """Accents are taken off; None means where `lowercase` is set, as in BERT."""
    chinese_characters: bool = True
    """Every Chinese character is a word."""


def wordpiece_model(vocabulary: Mapping[str, int], unknown: str) -> models.WordPiece:
    """The model of a vocabulary."""
    return models.WordPiece(
        vocab=dict(vocabulary),
        unk_token=unknown,
        max_input_chars_per_word=LONGEST_WORD,
        continuing_subword_prefix=CONTINUING,
    )


def read_vocabulary(file: Path) -> dict[str, int]:
    """BERT's `vocab.txt`: one entry a line, ids in order. Raises TokenizerError for one that comes twice."""
    vocabulary: dict[str, int] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n")):
        token = line.rstrip("\r")
        if token in vocabulary:
            raise TokenizerError(
                f"{file} has the entry {token!r} in lines {vocabulary[token] + 1} and {number + 1}; its ids "
                "are not clear."
            )
        vocabulary[token] = number
    if vocabulary and next(reversed(vocabulary)) == "":
        vocabulary.pop("")
    return vocabulary


def wordpiece(vocabulary: Mapping[str, int], *, unknown: str, words: Words) -> Tokenizer:
    """A backend that reads text as BERT does."""
    backend = Tokenizer(wordpiece_model(vocabulary, unknown))
    return read_as_words(backend, words)


def read_as_words(backend: Tokenizer, words: Words) -> Tokenizer:
    """Give `backend` BERT's way from text to words and back."""
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=words.chinese_characters,
        strip_accents=words.strip_accents,
        lowercase=words.lowercase,
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix=CONTINUING, cleanup=False)
    return backend


def put_between(backend: Tokenizer, start: str, end: str) -> None:
    """Make whole sequences begin with the token `start` and end with `end`, a pair with two ends."""
    ids = [(name, backend.token_to_id(name)) for name in (start, end)]
    backend.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", pair=f"{start} $A {end} $B:1 {end}:1", special_tokens=ids
    )


def from_phantom_spaces(tokens: Sequence[str], control: frozenset[str]) -> dict[str, int]:
    """GGUF's spelling ("▁" before what begins a word, nothing before what continues one) as WordPiece's."""
    vocabulary: dict[str, int] = {}
    for place, token in enumerate(tokens):
        if token not in control:
            token = token[1:] if token.startswith("▁") else CONTINUING + token
        vocabulary[token] = place
    return vocabulary
