"""What a trainer of vocabularies reads: texts in parts, measured, ended at a limit."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tokenizers import AddedToken, Tokenizer
from tokenizers.trainers import Trainer

from shizuku.errors import TokenizerError, VocabularySizeError

PIECE_CHARACTERS = 65_536
"""Texts are handed to the trainer in parts of about this size: it keeps some 50 bytes for each character of a
part."""


class Meter:
    """Hands on texts in parts, counts their bytes, and ends the stream when the limit is reached."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0

    def read(self, texts: Iterable[str]) -> Iterator[str]:
        """The parts of `texts`; `bytes` is how much UTF-8 has been handed on."""
        for text in texts:
            for part in parts(text):
                if self.bytes >= self.limit:
                    return
                self.bytes += len(part.encode("utf-8", "surrogatepass"))
                yield part


def parts(text: str, size: int = PIECE_CHARACTERS) -> Iterator[str]:
    """Cut `text` into parts of about `size` characters, where a line ends and the next begins with no blank.

    There a piece of every pattern in `pretokenizers` ends too, so the cut changes nothing; only a line longer
    than four times `size` is cut inside.
    """
    start = 0
    while len(text) - start > size:
        end = start + size
        last = min(len(text), start + 4 * size)
        while (end := text.find("\n", end, last) + 1) and end < len(text) and text[end].isspace():
            pass
        if end == 0:
            end = last
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What a trainer is asked for."""

    vocab_size: int
    special: Sequence[str]
    """Control tokens, which get the lowest ids."""
    unknown: str | None = None
    """The one of `special` that stands for what the vocabulary cannot write."""
    min_frequency: int = 2
    """A pair must occur this often to be merged."""
    max_bytes: int = 512_000_000
    """Reading stops after this much UTF-8."""

    def require(self, smallest: int, what: str) -> None:
        """Raise TokenizerError if `what` beside the control tokens leaves no room in the vocabulary."""
        if self.vocab_size < smallest + len(self.special):
            raise TokenizerError(
                f"a vocabulary of {self.vocab_size:,} was asked for, but {what} and {len(self.special)} "
                f"control tokens already make {smallest + len(self.special):,}. Raise --vocab-size to "
                f"{smallest + len(self.special):,} or more."
            )

    def apart(self, learned: Iterable[str]) -> None:
        """Raise TokenizerError if an entry that was learned is spelled as a control token."""
        both = sorted(set(self.special).intersection(learned))
        if both:
            raise TokenizerError(
                f"the control token {both[0]!r} is also an entry learned from the text. Give it a name that "
                "no text has, in brackets for instance."
            )

    def control(self) -> list[AddedToken]:
        """The control tokens as the library wants them."""
        return [AddedToken(name, special=True, normalized=False) for name in self.special]


def fit(backend: Tokenizer, trainer: Trainer, parts: Iterable[str], wanted: Wanted, meter: Meter) -> None:
    """Train `backend` on `parts`, which `meter` has measured by then.

    Raises TokenizerError for no text and VocabularySizeError for too little of it.
    """
    backend.train_from_iterator(parts, trainer)
    if meter.bytes == 0:
        raise TokenizerError("there is no text to train a tokenizer on. Give --text files that hold some.")
    reached = backend.get_vocab_size()
    if reached < wanted.vocab_size:
        raise VocabularySizeError(
            f"a vocabulary of {wanted.vocab_size:,} was asked for, but {meter.bytes:,} bytes of text allow "
            f"only {reached:,} (no further pair occurs {wanted.min_frequency} times). Lower --vocab-size to "
            f"{reached:,} or give more text.",
            possible=reached,
        )


class Spool:
    """Texts read once and kept on disk, their characters counted, for trainers that must know them first."""

    def __init__(self, parts: Iterable[str]) -> None:
        self.characters: Counter[str] = Counter()
        self.sizes: list[int] = []
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`
        for part in parts:
            self.characters.update(part)
            self.sizes.append(self.file.write(part.encode("utf-8", "surrogatepass")))

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def read(self) -> Iterator[str]:
        """The parts again."""
        self.file.seek(0)
        for size in self.sizes:
            yield self.file.read(size).decode("utf-8", "surrogatepass")

    def most_frequent(self, number: int) -> list[str]:
        """At most `number` characters, the most frequent, among equals those of the lower code point."""
        return sorted(self.characters, key=lambda character: (-self.characters[character], character))[
            :number
        ]
