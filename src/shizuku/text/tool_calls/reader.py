"""From an answer, as it is made, to its text and its tool calls."""

from collections.abc import Sequence

from shizuku.text.tool_calls.calls import Block, Format, Tool, ToolCall
from shizuku.text.tool_calls.hermes import HERMES


class ToolCallReader:
    """Takes the calls out of an answer that comes in pieces; however it is cut, the result is the same.

    Blanks around calls go with them. What begins like a call and is none stays text, and is said in
    `problems`.
    """

    def __init__(self, format: Format, tools: Sequence[Tool] = ()) -> None:
        self._format, self._tools = format, tools
        self._held = ""
        self._blanks = ""
        self._waiting = False
        """Whether what is held begins a call that has not ended."""
        self._begun = False
        """Whether any text or call stands before what is held."""
        self._after_call = False
        self._content = ""
        self.calls: list[ToolCall] = []
        """The calls so far."""
        self.problems: list[str] = []
        """What began like a call and is none."""

    @property
    def content(self) -> str:
        """The text so far."""
        return self._content

    def push(self, piece: str) -> str:
        """The text that this piece of the answer makes certain."""
        self._held += piece
        if self._waiting and not any(character in "}])>;\n" for character in piece):
            return ""  # no call ends, or breaks, without one of these
        return self._read(last=False)

    def finish(self) -> str:
        """The text that was held back, when the answer has ended."""
        text = self._read(last=True)
        if not self._after_call:
            text += self._write(self._blanks)
            self._blanks = ""
        return text

    def _read(self, *, last: bool) -> str:
        text = ""
        while self._held:
            place, length, marked = self._opening(last)
            text += self._text(self._held[:place])
            self._held = self._held[place:]
            if not length:
                break
            taken = self._format.take(self._held, last, self._tools)
            self._waiting = taken is None
            if taken is None:
                break
            if isinstance(taken, Block):
                self.calls += taken.calls
                self._held = self._held[taken.end :]
                self._begun = self._after_call = True
            else:
                if marked or not taken.plain:
                    self.problems.append(taken.reason)
                text += self._text(self._held[:length])
                self._held = self._held[length:]
        return text

    def _opening(self, last: bool) -> tuple[int, int, bool]:
        """Where the held text goes over into a call, how long the marker is (0: no call), and whether there
        is a marker. What may still become one is held too.
        """
        held = self._held
        if not self._begun:
            begin = len(held) - len(held.lstrip())
            if begin < len(held) and held[begin] in self._format.bare:
                return begin, 1, False
        found = [(place, len(m)) for m in self._format.begins if (place := held.find(m)) >= 0]
        if found:
            place, negative = min((place, -length) for place, length in found)
            return place, -negative, True
        if last:
            return len(held), 0, False
        longest = max(map(len, self._format.begins), default=0)
        for place in range(max(0, len(held) - longest + 1), len(held)):
            if any(marker.startswith(held[place:]) for marker in self._format.begins):
                return place, 0, False
        return len(held), 0, False

    def _text(self, text: str) -> str:
        """Text without the blanks at its end, which wait: they may stand before a call."""
        if self._after_call and not text.strip():
            return ""
        if self._after_call:
            text = text.lstrip()
            self._after_call = False
            text = text if not self._content else self._blanks + text
            self._blanks = ""
        text = self._blanks + text
        kept = text.rstrip()
        self._blanks = text[len(kept) :]
        self._begun = self._begun or bool(kept)
        return self._write(kept)

    def _write(self, text: str) -> str:
        self._content += text
        return text


def take_tool_calls(
    text: str, format: Format = HERMES, tools: Sequence[Tool] = ()
) -> tuple[str, tuple[ToolCall, ...]]:
    """Split a whole answer into its text and its calls; what is no call stays in the text."""
    reader = ToolCallReader(format, tools)
    reader.push(text)
    reader.finish()
    return reader.content, tuple(reader.calls)
