"""One text as it is made, and the mask of ids that are no tokens.

V vocabulary.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from shizuku.inference.generation import Generation
from shizuku.text.conversation import Message, Usage
from shizuku.text.reading import TextReader
from shizuku.text.tool_calls.reader import take_tool_calls


class Pieces(Iterator[str]):
    """The pieces of one text as they are made; `close()` stops the model."""

    def __init__(
        self, steps: Generation, reader: TextReader, prompt_tokens: int, *, dropped_turns: int = 0
    ) -> None:
        self._steps, self._reader = steps, reader
        self._prompt_tokens, self._dropped_turns = prompt_tokens, dropped_turns

    def __next__(self) -> str:
        while not self._reader.finish:
            step = next(self._steps)
            piece = self._reader.push(step.token_id, step.finish)
            if self._reader.finish:
                self.close()
            if piece:
                return piece
        raise StopIteration

    def close(self) -> None:
        """Make no further tokens."""
        self._steps.close()

    @property
    def text(self) -> str:
        """What has been made so far."""
        return self._reader.text

    @property
    def finish(self) -> str:
        """Why the text ended: "stop", "length", or "" while it goes on (or was closed)."""
        return self._reader.finish

    @property
    def usage(self) -> Usage:
        """Tokens read and made so far."""
        return Usage(self._prompt_tokens, self._reader.tokens)

    def message(self) -> Message:
        """What has been made so far as an answer; `finish` is "length" where it was cut short."""
        content, calls = take_tool_calls(self.text)
        return Message(
            content=content,
            tool_calls=calls,
            usage=self.usage,
            finish=self._reader.finish or "length",
            dropped_turns=self._dropped_turns,
        )


class OnlyTokens:
    """Makes ids impossible that only fill up the matrix and stand for no token."""

    pure = True

    def __init__(self, known: int) -> None:
        """Ids from `known` on are no tokens."""
        self._known = known

    def __call__(self, ids: Sequence[int], logits_V: np.ndarray) -> np.ndarray:
        """The logits with those ids at -inf."""
        logits_V[self._known :] = -np.inf
        return logits_V
