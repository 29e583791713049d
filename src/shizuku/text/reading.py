"""From the tokens of one continuation to its text, up to a stop string."""

from collections.abc import Sequence

from shizuku.text.streaming import StopStrings, TextStream
from shizuku.text.tokenizer import Tokenizer


class TextReader:
    """Reads tokens one by one; knows the text so far, the tokens read, and why the text has ended."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str], *, skip_control: bool = True) -> None:
        """Read until one of the strings `stop`, or until a token comes with a reason to end."""
        self.text, self.tokens, self.finish = "", 0, ""
        self._characters = TextStream(tokenizer, skip_control=skip_control)
        self._stops = StopStrings(stop)

    def push(self, token_id: int, finish: str | None) -> str:
        """The text that this token makes certain; the token of a `finish` "stop" is not part of it.

        A negative id is no token: the text has ended without one.
        """
        if self.finish:
            return ""
        self.tokens += token_id >= 0
        piece, stopped = "", False
        if finish != "stop" and token_id >= 0:
            piece, stopped = self._stops.push(self._characters.push(token_id))
        if finish and not stopped:
            rest, stopped = self._stops.push(self._characters.finish())
            piece += rest if stopped else rest + self._stops.finish()
        self.finish = "stop" if stopped else finish or ""
        self.text += piece
        return piece
