"""Training a Unigram vocabulary (Kudo 2018): entries with probabilities, the least useful ones dropped.

By the `sentencepiece` library: its trainer gives every entry the same id each time, which that of
`tokenizers` does not, in a tenth of the time. The vocabulary then runs on `tokenizers` like every other.
"""

import io
from collections.abc import Iterable, Iterator

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from shizuku.errors import MissingExtraError, TokenizerError, VocabularySizeError
from shizuku.progress import say
from shizuku.text.training_text import Meter, Spool, Wanted

MOST_BYTES = 64_000_000
"""Text that is learned from. The trainer keeps all of it and a suffix array of it, some 20 bytes for each
byte; more text adds rare entries."""

CUT = r" *[^ \n]+| +|\n+"
"""Spaces go with the word after them, lines are cut apart. Both follow from two neighbouring characters
alone, so that segmenting a whole text, as SentencePiece and llama.cpp do, gives the same entries."""

SPACE = "▁"
_NUL = "\U0010fffe"
"""Stands in for the character that ends a string for the trainer; no text holds it, as it is no character."""
_LONGEST_SENTENCE = 1000
"""Characters; the trainer drops what is longer than 4,192 bytes, so longer lines are cut in training."""


def train_unigram(texts: Iterable[str], wanted: Wanted) -> Tokenizer:
    """Learn the entries that make the text most probable, beside the characters of the text.

    Characters have at most three quarters of the room, the most frequent if there are too many; a run of
    unknown ones is one unknown token. Raises TokenizerError if the size is too small, VocabularySizeError if
    it is larger than the texts allow.
    """
    wanted.require(3, "three entries")
    meter = Meter(min(wanted.max_bytes, MOST_BYTES))
    with Spool(meter.read(texts)) as spool:
        if meter.bytes == 0:
            raise TokenizerError(
                "there is no text to train a tokenizer on. Give --text files that hold some."
            )
        if wanted.max_bytes > MOST_BYTES <= meter.bytes:
            say(f"a Unigram vocabulary is learned from the first {MOST_BYTES:,} bytes of text")
        room = wanted.vocab_size - len(wanted.special)
        most = max(1, room * 3 // 4)
        kept = spool.most_frequent(most)
        dropped = spool.characters.keys() - set(kept)
        pieces = _complete(_learn(_sentences(spool.read(), dropped), room), kept, room)
    if len(pieces) < room:
        possible = len(pieces) + len(wanted.special)
        raise VocabularySizeError(
            f"a vocabulary of {wanted.vocab_size:,} was asked for, but {meter.bytes:,} bytes of text allow "
            f"only {possible:,} Unigram entries. Lower --vocab-size to {possible:,} or give more text.",
            possible=possible,
        )
    wanted.apart(piece for piece, _ in pieces)
    control = [(name, 0.0) for name in wanted.special]
    unknown = wanted.special.index(str(wanted.unknown))
    backend = Tokenizer(models.Unigram([*control, *pieces], unk_id=unknown))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(CUT), "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens(wanted.control())
    return backend


def _learn(sentences: Iterator[str], room: int) -> list[tuple[str, float]]:
    """At most `room` entries with their log probabilities, spaces written as spaces."""
    try:
        import sentencepiece
    except ImportError as error:
        raise MissingExtraError(
            "training a Unigram vocabulary needs sentencepiece: pip install 'shizuku[unigram]'"
        ) from error
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=sentences,
            model_writer=model,
            model_type="unigram",
            # Its unknown token takes a place that ours does not need, and so would its begin and end.
            vocab_size=room + 1,
            hard_vocab_limit=False,
            bos_id=-1,
            eos_id=-1,
            user_defined_symbols=["\n"],
            character_coverage=1.0,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            allow_whitespace_only_pieces=True,
            num_threads=1,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        raise TokenizerError(f"sentencepiece could not learn a vocabulary of {room:,}: {error}") from error
    learned = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [
        (learned.id_to_piece(place).replace(SPACE, " ").replace(_NUL, "\0"), float(learned.get_score(place)))
        for place in range(learned.get_piece_size())
        if not learned.is_unknown(place)
    ]
    # A line end is given to the trainer beside the text, which it learns from without any.
    likeliest = max(score for piece, score in pieces if piece != "\n")
    return [(piece, likeliest if piece == "\n" else score) for piece, score in pieces]


def _complete(
    pieces: list[tuple[str, float]], characters: Iterable[str], room: int
) -> list[tuple[str, float]]:
    """Put in the characters that the trainer keeps for itself ("▁", "▅", some control characters), in place
    of the least likely longer entries.
    """
    known = {piece for piece, _ in pieces}
    missing = [character for character in characters if character not in known]
    lowest = min(score for _, score in pieces)
    too_many = max(0, len(pieces) + len(missing) - room)
    longer = sorted((entry for entry in pieces if len(entry[0]) > 1), key=lambda entry: entry[1])
    dropped = {piece for piece, _ in longer[:too_many]}
    return [entry for entry in pieces if entry[0] not in dropped] + [(piece, lowest) for piece in missing]


def _sentences(texts: Iterable[str], dropped: Iterable[str]) -> Iterator[str]:
    """Lines, cut where a character stands that will be unknown."""
    breaks = {ord(character): "\n" for character in dropped}
    for text in texts:
        for line in (text.translate(breaks) if breaks else text).split("\n"):
            for start in range(0, len(line), _LONGEST_SENTENCE):
                yield line[start : start + _LONGEST_SENTENCE].replace("\0", _NUL)
