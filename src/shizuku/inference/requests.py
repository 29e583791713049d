"""What is asked of the engine, and what it answers, token by token. Nothing here needs torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from shizuku.inference.settings import GenerationSettings

Processor = Callable[[Sequence[int], np.ndarray], np.ndarray]
"""`(ids, logits_V) -> logits_V`: changes one sequence's logits, given its prompt and what it has so far."""

Finish = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One sequence to be continued."""

    ids: Sequence[int]
    """Token ids of the prompt, at least one."""
    settings: GenerationSettings
    """How tokens are chosen; `max_new_tokens` must be a number here. Strings in `stop` are the caller's."""
    stop_ids: frozenset[int] = frozenset()
    """Tokens that end the sequence; the one that does is given too."""
    processors: Sequence[Processor] = ()
    """Applied to the raw logits, in order, before everything that `settings` does to them."""
    logprobs: int | None = None
    """With a number: log-probabilities of each token and of so many best ones."""
    prompt_logprobs: bool = False
    """Whether the prompt's own tokens are given first, with their log-probabilities (`echo`)."""
    index: int = 0
    """Together with `settings.seed` it settles the draws."""
    adapter: str | None = None
    """Which of the model's adapters acts on it; None: the base alone."""
    client: str = ""
    """Who asks: clients take turns when the engine is full."""


@dataclass(frozen=True, slots=True)
class Step:
    """One token of one sequence."""

    index: int
    """`Request.index` of what it continues."""
    token_id: int
    """The token; a stop token is given too, with `finish` "stop". -1 where there is none (cancelled)."""
    finish: Finish | None
    """Why the sequence ends with this token, or None where it goes on."""
    logprob: float | None = None
    """Log-probability in nats under the model itself: before processors, penalty and temperature."""
    top: tuple[tuple[int, float], ...] = ()
    """The best tokens with their log-probabilities, best first, as many as were asked for."""
    prompt: bool = field(default=False)
    """Whether it is a token of the prompt."""
