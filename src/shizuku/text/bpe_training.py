"""Training a byte-level BPE vocabulary on a stream of texts, in bounded memory and always with the same
result."""

from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Tokenizer, models, trainers

from shizuku.errors import TokenizerError, VocabularySizeError
from shizuku.text.byte_alphabet import byte_characters
from shizuku.text.pretokenizers import LONGEST_PIECES, OWN, PATTERNS, byte_level, byte_level_decoder
from shizuku.text.training_text import Meter


def train_byte_level(
    texts: Iterable[str], vocab_size: int, *, special: Sequence[str], min_frequency: int, max_bytes: int
) -> Tokenizer:
    """Learn merges until the vocabulary has `vocab_size` entries: `special` first, then 256 bytes, then the
    merges.

    The most frequent pair is merged first; among equals the one whose left part, then right part, has the
    lower id, so the result depends on the texts alone. Reading stops after `max_bytes` of UTF-8. Raises
    TokenizerError if `vocab_size` is too small for bytes and control tokens, or larger than the texts allow.
    """
    smallest = 256 + len(special)
    if vocab_size < smallest:
        raise TokenizerError(
            f"a vocabulary of {vocab_size:,} was asked for, but 256 bytes and {len(special)} control tokens "
            f"already make {smallest:,}. Raise --vocab-size to {smallest:,} or more."
        )
    if len(set(special)) != len(special) or not all(special):
        raise TokenizerError(
            f"control tokens must be different and not empty; seen: {', '.join(map(repr, special))}."
        )
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = byte_level((*PATTERNS[OWN], LONGEST_PIECES))
    backend.decoder = byte_level_decoder()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[AddedToken(name, special=True, normalized=False) for name in special],
        initial_alphabet=list(byte_characters()),
        show_progress=False,
    )
    meter = Meter(max_bytes)
    backend.train_from_iterator(meter.read(texts), trainer)
    backend.pre_tokenizer = byte_level(PATTERNS[OWN])
    reached = backend.get_vocab_size()
    if meter.bytes == 0:
        raise TokenizerError("there is no text to train a tokenizer on. Give --text files that hold some.")
    if reached < vocab_size:
        raise VocabularySizeError(
            f"a vocabulary of {vocab_size:,} was asked for, but {meter.bytes:,} bytes of text allow only "
            f"{reached:,} "
            f"(no further pair occurs {min_frequency} times). Lower --vocab-size to {reached:,} or give "
            "more text.",
            possible=reached,
        )
    return backend
