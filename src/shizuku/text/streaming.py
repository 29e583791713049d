"""Text out of a growing list of tokens: whole characters only, and stop strings found across token
borders."""

import codecs
from collections.abc import Sequence

from shizuku.errors import TokenizerError
from shizuku.text.tokenizer import Tokenizer


class TextStream:
    """Turns tokens into text one by one; bytes of a character wait until it is whole.

    Costs the bytes of each token once: nothing is decoded again. The pieces joined equal `Tokenizer.decode`,
    but for the space that some vocabularies put before a text: it is kept where the tokens go on from others,
    as generated ones do, and left out with `begins`.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_control: bool = True, begins: bool = False) -> None:
        self._tokenizer = tokenizer
        self._drop_space = begins and tokenizer.adds_a_space
        self._skip_control = skip_control
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        """The text that became whole with this token; often empty inside a character."""
        data = self._tokenizer.written(token_id, skip_control=self._skip_control)
        if data and self._drop_space:
            self._drop_space = False
            data = data.removeprefix(b" ")
        return self._decoder.decode(data)

    def finish(self) -> str:
        """What is left: U+FFFD if the last character never became whole."""
        return self._decoder.decode(b"", final=True)


class StopStrings:
    """Holds back text that may be the beginning of a stop string, and ends at the first one that is complete.

    Where two would begin at different places the earlier beginning wins; the stop string itself is not
    emitted.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        if isinstance(stops, str):
            stops = [stops]
        if not all(stops):
            raise TokenizerError(
                "a stop string is empty, so it would end every text at once. Leave it out of --stop."
            )
        self._stops = tuple(stops)
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self.stopped = False

    def push(self, piece: str) -> tuple[str, bool]:
        """The text that is now safe to emit, and whether a stop string has ended the text."""
        if self.stopped:
            return "", True
        self._held += piece
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        first = min(found, default=len(self._held))
        open_at = self._may_begin()
        if found and first <= open_at:
            emitted, self._held, self.stopped = self._held[:first], "", True
            return emitted, True
        emitted, self._held = self._held[:open_at], self._held[open_at:]
        return emitted, False

    def finish(self) -> str:
        """The text that was held back when the tokens ended: what completes no stop string is text after
        all.
        """
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        emitted, self._held = self._held[: min(found, default=len(self._held))], ""
        self.stopped = self.stopped or bool(found)
        return emitted

    def _may_begin(self) -> int:
        """Where the earliest unfinished beginning of a stop string stands in the held text; its end if there
        is none.
        """
        start = max(0, len(self._held) - self._longest + 1)
        for place in range(start, len(self._held)):
            tail = self._held[place:]
            if any(len(tail) < len(stop) and stop.startswith(tail) for stop in self._stops):
                return place
        return len(self._held)
