"""What a trainer of vocabularies reads: texts in parts, measured, ended at a limit."""

from collections.abc import Iterable, Iterator

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
