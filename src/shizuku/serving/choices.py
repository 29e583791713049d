"""One continuation on its way out: whole characters up to a stop string, and the tokens behind them."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from shizuku.inference.requests import Step
from shizuku.text.streaming import StopStrings, TextStream
from shizuku.text.tokenizer import Tokenizer


@dataclass(slots=True)
class Piece:
    """What has become certain."""

    text: str = ""
    """New text."""
    steps: list[Step] = field(default_factory=list)
    """The tokens whose text is now certain, in their order."""
    offsets: list[int] = field(default_factory=list)
    """Where each of these tokens begins, in characters of the whole text."""
    finish: str = ""
    """Why the text ends here: "stop", "length", or not at all."""


class Choice:
    """Reads the steps of one sequence; knows its text, its tokens, and why it has ended."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        stop: Sequence[str],
        *,
        skip_control: bool = True,
        begins: bool = False,
        give_stop_token: bool = False,
    ) -> None:
        """Read until one of the strings `stop`.

        `begins`: the first tokens begin a text (an echoed prompt), so a space that the vocabulary adds is no
        part of it. `give_stop_token`: the token that ends the sequence is among the steps given.
        """
        self._characters = TextStream(tokenizer, skip_control=skip_control, begins=begins)
        self._stops = StopStrings(stop)
        self._tokenizer = tokenizer
        self._give_stop_token = give_stop_token
        self._held: deque[tuple[int, int, Step]] = deque()
        self._read = self._given = 0
        self.tokens, self.finish = 0, ""

    def push(self, step: Step) -> Piece:
        """Take the next step and give what it makes certain; nothing once the text has ended."""
        piece = Piece()
        if self.finish:
            return piece
        if step.token_id < 0:
            return self._end(piece, step)
        if not step.prompt:
            self.tokens += 1
        stop_token = step.finish == "stop"
        characters = "" if stop_token else self._characters.push(step.token_id)
        begin = self._read + self._broken_before(characters, step.token_id)
        self._read += len(characters)
        if not stop_token or self._give_stop_token:
            self._held.append((begin, self._read, step))
        if step.prompt:
            piece.text = characters
        else:
            piece.text, stopped = self._stops.push(characters)
            if stopped:
                self.finish = "stop"
        self._given += len(piece.text)
        if step.finish and not self.finish:
            return self._end(piece, step)
        return self._release(piece)

    def _broken_before(self, characters: str, token_id: int) -> int:
        """How many of the characters that came with a token stand for bytes that others left unfinished."""
        if "\ufffd" not in characters:
            return 0
        own = self._tokenizer.written(token_id).decode("utf-8", errors="ignore")
        return max(len(characters) - len(own), 0) if own and characters.endswith(own) else 0

    def _end(self, piece: Piece, step: Step) -> Piece:
        """The sequence is over: what was held back is text after all, unless it completes a stop string."""
        rest, stopped = self._stops.push(self._characters.finish())
        if not stopped:
            rest += self._stops.finish()
            stopped = self._stops.stopped
        self._given += len(rest)
        piece.text += rest
        self.finish = "stop" if stopped else ("length" if step.finish == "cancelled" else step.finish or "")
        return self._release(piece, everything=not stopped)

    def _release(self, piece: Piece, *, everything: bool = False) -> Piece:
        """Move the tokens of text that is out from those held; a stop string's own tokens are not given."""
        piece.finish = self.finish
        while self._held:
            begin, end, step = self._held[0]
            started = begin < self._given and bool(self.finish)
            if not (everything or end <= self._given or started):
                break
            if self._stops.stopped and begin >= self._given:
                break
            self._held.popleft()
            piece.steps.append(step)
            piece.offsets.append(begin)
        return piece
