"""What the engine needs of a model: spans of several sequences in, logits out. Nothing here needs torch.

R rows asked for, T tokens of a span, V vocabulary, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True, slots=True)
class Span:
    """The next tokens of one sequence: a whole prompt, a piece of one, or the token made last."""

    ids: Sequence[int]
    """T >= 1 token ids."""
    start: int
    """How many tokens of the sequence the cache already holds: the position of the first of `ids`."""
    blocks: Sequence[int]
    """The sequence's cache blocks in its order, at least enough for start + T tokens."""
    wanted: Literal["none", "last", "all"] = "last"
    """Behind which of the tokens the logits (or vectors) are wanted."""
    adapter: str | None = None
    """Which of the runtime's adapters acts on it (see `adapting.py`); None: the base alone."""


@runtime_checkable
class Runtime(Protocol):
    """A model that continues several sequences at once, with its cache in blocks of equal size.

    Who calls it settles which block belongs to which sequence; the same block may stand in several
    sequences that begin alike. A call writes keys and values for its tokens, and reads those before them.
    """

    @property
    def context(self) -> int:
        """Longest sequence in tokens."""

    @property
    def vocab_size(self) -> int:
        """Number of logits."""

    @property
    def block_tokens(self) -> int:
        """Tokens that one cache block holds."""

    @property
    def block_bytes(self) -> int:
        """Bytes that one cache block takes."""

    @property
    def blocks(self) -> int:
        """Number of cache blocks there are."""

    @property
    def company_matters(self) -> bool:
        """Whether a row's rounding may depend on the other rows of a call; False: equal to the last bit."""

    def reserve(self, blocks: int) -> None:
        """Make the cache at least this many blocks large; what it holds stays. ModelError without memory."""

    def forward(self, spans: Sequence[Span]) -> np.ndarray:
        """Logits float32 [R, V], in the order of the spans and of the tokens wanted in them."""

    def hidden(self, spans: Sequence[Span]) -> np.ndarray:
        """Vectors behind the final norm float32 [R, D], in the same order."""

    def copy_block(self, source: int, target: int) -> None:
        """Make block `target` hold what block `source` holds."""


def reads_whole(runtime: object) -> bool:
    """Whether a runtime reads whole texts at once, and so can't continue one (see `whole_runtime.py`)."""
    return bool(getattr(runtime, "whole", False))


def is_indivisible(runtime: Runtime) -> bool:
    """Whether a block's first tokens are of no use without the others, as in a state of fixed size.

    Such a runtime keeps a sequence in one block, and can go back to places inside its last span only.
    """
    return bool(getattr(runtime, "indivisible", False))
