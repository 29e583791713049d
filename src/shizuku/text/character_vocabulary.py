"""A vocabulary of characters: one token each, and one token for every character that it does not know."""

from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from shizuku.errors import TokenizerError, VocabularySizeError
from shizuku.text.training_text import Meter

_RUN = r"[\s\S]{64}"
"""Text reaches the model in runs of this many characters: a long text in one piece would cost 40 bytes a
character."""


def train_characters(
    texts: Iterable[str], vocab_size: int | None, *, special: Sequence[str], unknown: str, max_bytes: int
) -> Tokenizer:
    """All characters of `texts` in the order of Unicode, after `special`; with `vocab_size`, as many as fit.

    Then the most frequent are kept (among equals the lower code point), and the others are `unknown`, which
    is one of `special`. Raises TokenizerError if nothing fits, VocabularySizeError if fewer characters occur.
    """
    meter = Meter(max_bytes)
    counts: Counter[str] = Counter()
    for part in meter.read(texts):
        counts.update(part)
    if not counts:
        raise TokenizerError("there is no text to train a tokenizer on. Give --text files that hold some.")
    kept = sorted(counts, key=lambda character: (-counts[character], character))
    if vocab_size is not None:
        _check_size(vocab_size, len(special), len(kept))
        kept = kept[: vocab_size - len(special)]
    vocabulary = {name: token_id for token_id, name in enumerate([*special, *sorted(kept)])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=unknown))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(_RUN), "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    return backend


def _check_size(vocab_size: int, control: int, characters: int) -> None:
    if vocab_size <= control:
        raise TokenizerError(
            f"a vocabulary of {vocab_size:,} was asked for, but {control} control tokens leave no room for a "
            f"character. Raise --vocab-size to {control + 1:,} or more."
        )
    if vocab_size > control + characters:
        raise VocabularySizeError(
            f"a vocabulary of {vocab_size:,} was asked for, but the text holds {characters:,} different "
            f"characters, which with {control} control tokens make {control + characters:,}. Lower "
            f"--vocab-size to {control + characters:,} or leave it out.",
            possible=control + characters,
        )
