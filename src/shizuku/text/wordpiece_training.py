"""Training a WordPiece vocabulary: BPE merges inside words, read greedily afterwards.

Letters that continue a word are other letters than those that begin one, so the trainer sees them as such:
each gets a stand-in from the private-use planes, and the entries are spelled with "##" in the end. The
library's own WordPiece trainer numbers them as a hash table lists them, and settles ties by these numbers.
"""

from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from shizuku.errors import TokenizerError
from shizuku.text.special_tokens import SpecialTokens
from shizuku.text.training_text import Meter, Spool, Wanted, fit
from shizuku.text.wordpiece import CONTINUING, Words, put_between, read_as_words, wordpiece, wordpiece_model

CHARACTERS = 3, 4
"""At most this share of the vocabulary is single characters, those that begin words and those that continue
them."""
_FIRST, _LAST = 0xF0000, 0x10FFFD


def train_wordpiece(texts: Iterable[str], wanted: Wanted, special: SpecialTokens) -> Tokenizer:
    """Learn words and parts of words from the text as BERT reads it: small letters, no accents, no space
    kept.

    Google's own trainer was never published; as elsewhere, entries are merged by frequency as in BPE.
    Raises TokenizerError if the size is too small, VocabularySizeError if it is larger than the texts allow.
    """
    wanted.require(2, "two characters")
    letters = _Letters(read_as_words(Tokenizer(wordpiece_model({}, "")), Words()))
    part, whole = CHARACTERS
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    meter = Meter(wanted.max_bytes)
    with Spool(letters.spell(meter.read(texts))) as spool:
        spool.characters.pop(" ", None)
        kept = spool.most_frequent(max(1, (wanted.vocab_size - len(wanted.special)) * part // whole))
        trainer = trainers.BpeTrainer(
            vocab_size=wanted.vocab_size,
            min_frequency=wanted.min_frequency,
            special_tokens=wanted.control(),
            initial_alphabet=kept,
            limit_alphabet=len(kept),
            show_progress=False,
        )
        fit(learner, trainer, spool.read(), wanted, meter)
    entries = [token for token, _ in sorted(learner.get_vocab().items(), key=lambda entry: entry[1])]
    learned = [letters.written(token) for token in entries[len(wanted.special) :]]
    wanted.apart(learned)
    vocabulary = {token: token_id for token_id, token in enumerate([*wanted.special, *learned])}
    backend = wordpiece(vocabulary, unknown=str(wanted.unknown), words=Words())
    backend.add_special_tokens(wanted.control())
    if special.cls is not None and special.sep is not None:
        put_between(backend, special.cls, special.sep)
    return backend


class _Letters:
    """Words with stand-ins for all letters but the first, and entries spelled from them."""

    def __init__(self, reader: Tokenizer) -> None:
        self.reader = reader
        self.stand_ins: dict[int, int] = {}
        self.behind: dict[int, int] = {}

    def spell(self, texts: Iterable[str]) -> Iterator[str]:
        """The words of each text, with spaces between; words that hold a stand-in of their own are left
        out.
        """
        for text in texts:
            cut = self.reader.pre_tokenizer.pre_tokenize_str(self.reader.normalizer.normalize_str(text))
            words = [word for word, _ in cut if ord(max(word)) < _FIRST]
            for character in sorted(set().union(*words)):
                self._stand_in(ord(character))
            yield " ".join(word[0] + word[1:].translate(self.stand_ins) for word in words)

    def _stand_in(self, code: int) -> None:
        if code in self.stand_ins:
            return
        if _FIRST + len(self.stand_ins) > _LAST:
            raise TokenizerError(
                "the text holds more different characters than a WordPiece trainer can take."
            )
        self.stand_ins[code] = _FIRST + len(self.stand_ins)
        self.behind[self.stand_ins[code]] = code

    def written(self, token: str) -> str:
        """An entry as WordPiece writes it."""
        plain = token.translate(self.behind)
        return CONTINUING + plain if token[0] != plain[0] else plain
