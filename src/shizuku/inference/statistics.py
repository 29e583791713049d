"""What an engine counts: for /metrics, for tests, and to say how long a refused caller should wait."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shizuku.inference.blocks import BlockPool
from shizuku.inference.continuation import Continuation
from shizuku.inference.requests import Finish, Step
from shizuku.inference.scheduling import Scheduler, Work

STEP_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, math.inf)
"""Upper bounds of the classes that step times are counted in."""
# A new step time counts for so much of the running mean.
NEWEST = 0.1
# No caller is told to come back sooner or later than this.
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """An engine at one moment."""

    running: int
    """Requests at work."""
    waiting: int
    """Requests in the queue."""
    blocks: int
    """Cache blocks that memory was taken for so far."""
    blocks_most: int
    """Cache blocks that there may be."""
    blocks_used: int
    """Blocks that requests hold."""
    blocks_cached: int
    """Blocks that nobody holds, kept for requests that begin alike."""
    prompt_tokens: int
    """Tokens read, what was read again after a loss of blocks included."""
    reused_tokens: int
    """Tokens that did not have to be read, as the cache held them."""
    made_tokens: int
    """Tokens made."""
    guessed_tokens: int
    """Tokens guessed ahead."""
    right_guesses: int
    """Of these, tokens that came out so."""
    steps: int
    """Forward passes."""
    step_seconds: float
    """Time in them, sampling included."""
    step_seconds_up_to: Mapping[float, int]
    """For each bound of `STEP_SECONDS`, how many steps took at most so long."""
    ended: Mapping[str, int]
    """Requests by how they ended: stop, length, cancelled, error."""
    refused: int
    """Requests that found the queue full."""
    preemptions: int
    """How often a request had to give its blocks back and wait."""


class Tally:
    """Counts while the engine runs."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.refused = 0
        self._prompt_tokens = self._made = self._guessed = self._right = self._steps = 0
        self._seconds = self._mean = 0.0
        self._ended: Counter[str] = Counter()
        self._classes = [0] * len(STEP_SECONDS)

    def step(self, work: Sequence[Work], seconds: float) -> None:
        """One forward pass."""
        self._steps += 1
        self._seconds += seconds
        self._mean = seconds if self._steps == 1 else (1 - NEWEST) * self._mean + NEWEST * seconds
        self._classes[bisect_left(STEP_SECONDS, seconds)] += 1
        self._prompt_tokens += sum(one.tokens for one in work if one.reading)

    def token(self, step: Step) -> None:
        """One token given."""
        self._made += not step.prompt

    def guessed(self, count: int, right: int) -> None:
        """Tokens guessed ahead, and how many came true."""
        self._guessed += count
        self._right += right

    def ended(self, finish: Finish | None) -> None:
        """One request has ended."""
        self._ended[finish or "error"] += 1

    def seconds_until_place(self, running: Sequence[Continuation]) -> float:
        """When the request that has least to do will have ended, if it uses all its tokens."""
        left = min((c.limit - len(c.ids) for c in running), default=0)
        return min(max(left * self._mean, SHORTEST_WAIT), LONGEST_WAIT)

    def statistics(self, scheduler: Scheduler, pool: BlockPool) -> Statistics:
        """Everything at this moment."""
        counts = [sum(self._classes[: n + 1]) for n in range(len(STEP_SECONDS))]
        return Statistics(
            running=len(scheduler.running),
            waiting=len(scheduler.queue),
            blocks=pool.blocks,
            blocks_most=pool.most,
            blocks_used=pool.used,
            blocks_cached=pool.idle,
            prompt_tokens=self._prompt_tokens,
            reused_tokens=scheduler.reused_tokens,
            made_tokens=self._made,
            guessed_tokens=self._guessed,
            right_guesses=self._right,
            steps=self._steps,
            step_seconds=self._seconds,
            step_seconds_up_to=dict(zip(STEP_SECONDS, counts, strict=True)),
            ended=dict(self._ended),
            refused=self.refused,
            preemptions=scheduler.preemptions,
        )
