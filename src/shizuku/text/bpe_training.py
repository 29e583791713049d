"""Training BPE vocabularies on a stream of texts, in bounded memory and always with the same result."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from shizuku.text.byte_alphabet import byte_characters
from shizuku.text.pretokenizers import LONGEST_PIECES, OWN, PATTERNS, byte_level, byte_level_decoder
from shizuku.text.training_text import Meter, Spool, Wanted, fit

CHARACTERS = 3, 4
"""At most this share of a character-level vocabulary is single characters; merges have the rest."""


def train_byte_level(texts: Iterable[str], wanted: Wanted) -> Tokenizer:
    """Learn merges until the vocabulary is full: control tokens first, then 256 bytes, then the merges.

    The most frequent pair is merged first; among equals the one whose left part, then right part, has the
    lower id, so the result depends on the texts alone. Raises TokenizerError if the size is too small for
    bytes and control tokens, or larger than the texts allow.
    """
    wanted.require(256, "256 bytes")
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = byte_level((*PATTERNS[OWN], LONGEST_PIECES))
    backend.decoder = byte_level_decoder()
    trainer = trainers.BpeTrainer(
        vocab_size=wanted.vocab_size,
        min_frequency=wanted.min_frequency,
        special_tokens=wanted.control(),
        initial_alphabet=list(byte_characters()),
        show_progress=False,
    )
    meter = Meter(wanted.max_bytes)
    fit(backend, trainer, meter.read(texts), wanted, meter)
    backend.pre_tokenizer = byte_level(PATTERNS[OWN])
    return backend


def train_character_level(texts: Iterable[str], wanted: Wanted) -> Tokenizer:
    """The same over characters: those of the texts come first, the most frequent if there are too many.

    A character outside them is the unknown token, one for each. Raises TokenizerError as `train_byte_level`
    does.
    """
    wanted.require(2, "two characters")
    backend = Tokenizer(models.BPE(unk_token=wanted.unknown))
    backend.pre_tokenizer = _cut((*PATTERNS[OWN], LONGEST_PIECES))
    backend.decoder = decoders.Fuse()
    part, whole = CHARACTERS
    meter = Meter(wanted.max_bytes)
    with Spool(meter.read(texts)) as spool:
        kept = spool.most_frequent(max(1, (wanted.vocab_size - len(wanted.special)) * part // whole))
        trainer = trainers.BpeTrainer(
            vocab_size=wanted.vocab_size,
            min_frequency=wanted.min_frequency,
            special_tokens=wanted.control(),
            # Left to the trainer, which of equally rare characters are kept would be up to chance.
            initial_alphabet=kept,
            limit_alphabet=len(kept),
            show_progress=False,
        )
        fit(backend, trainer, spool.read(), wanted, meter)
    backend.pre_tokenizer = _cut(PATTERNS[OWN])
    return backend


def _cut(patterns: tuple[str, ...]) -> pre_tokenizers.PreTokenizer:
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    return pre_tokenizers.Sequence(splits)
