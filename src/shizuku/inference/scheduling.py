"""What is computed in the next step: who joins, who gets a token, whose prompt is read on, who must wait."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from shizuku.inference.blocks import BlockPool
from shizuku.inference.continuation import Continuation
from shizuku.inference.engine_settings import EngineSettings
from shizuku.inference.queueing import FairQueue
from shizuku.inference.runtime import Span

# Logits asked for at once where the prompt's own are wanted, in elements: 64 MB of float32.
LOGITS_AT_ONCE = 16_000_000


@runtime_checkable
class Guesser(Protocol):
    """What guesses tokens ahead; none of its guesses changes the text."""

    def guess(self, continuations: Sequence[Continuation], most: Sequence[int]) -> list[list[int]]:
        """For each continuation, at most so many tokens that may follow its `ids`."""

    def leave(self, continuation: Continuation) -> None:
        """A continuation has ended."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one request has computed in one step."""

    continuation: Continuation
    tokens: int
    """How many of its unread tokens are read."""
    wanted: Literal["none", "last", "all"]
    """Behind which of them logits are wanted."""
    guessed: Sequence[int] = ()
    """Tokens that are guessed to follow, read in the same step."""
    reading: bool = False
    """Whether it is a part of a prompt (or of what has to be read again)."""

    @property
    def span(self) -> Span:
        """The same for the runtime."""
        c = self.continuation
        ids = [*c.ids[c.held : c.held + self.tokens], *self.guessed]
        return Span(ids, c.held, c.table.blocks, self.wanted, c.request.adapter)

    @property
    def rows(self) -> int:
        """How many rows of logits it gets."""
        return {"none": 0, "last": 1, "all": self.tokens + len(self.guessed)}[self.wanted]


class Scheduler:
    """The requests that wait and those at work, and the blocks they hold."""

    def __init__(self, pool: BlockPool, settings: EngineSettings, vocab_size: int) -> None:
        """Begin empty."""
        self.pool, self.settings = pool, settings
        self.queue: FairQueue[Continuation] = FairQueue()
        self.running: list[Continuation] = []
        self.preemptions = 0
        self.reused_tokens = 0
        self._prompt_rows = max(1, LOGITS_AT_ONCE // vocab_size)

    def worth_guessing(self) -> tuple[list[Continuation], list[int]]:
        """Whose next tokens may be guessed ahead, and at most how many of each."""
        most = self.settings.speculative_tokens
        ready = [c for c in self.running if c.decoding]
        if most == 0 or len(ready) > self.settings.speculative_running:
            return [], []
        asked = [c for c in ready if c.guessable and c.limit - len(c.ids) > 1]
        return asked, [min(most, c.guesses, c.limit - len(c.ids) - 1) for c in asked]

    def plan(self, guessed: Mapping[Continuation, Sequence[int]]) -> list[Work]:
        """What the next step computes; empty only where nobody is here or nobody has room."""
        self._admit()
        while True:
            work = self._tokens(guessed)
            work += self._prompts(work)
            if work or len(self.running) < 2:
                # Rows of one adapter next to each other are multiplied together.
                return sorted(work, key=lambda one: one.continuation.request.adapter or "")
            self._put_back(self.running[-1])  # all hold blocks and none can go on

    def leave(self, continuation: Continuation) -> None:
        """A request has ended, wherever it was; its blocks are free."""
        if continuation in self.running:
            self.running.remove(continuation)
            continuation.table.release(continuation.ids, continuation.held)
        else:
            self.queue.take(continuation)
        self.queue.leave(continuation)

    def read(self, work: Work, held: int) -> None:
        """The cache now has the first `held` tokens of a request."""
        c = work.continuation
        c.held = held
        c.table.enter(c.ids, held)
        self.queue.charge(c.client, work.tokens + len(work.guessed))

    # ---- who joins and who goes back

    def _admit(self) -> None:
        while (c := self.queue.first()) is not None:
            if len(self.running) >= self.settings.running and not self._make_way(c):
                return
            if self.running and not self._fits(c):
                return
            self.queue.take(c)
            self._share(c)
            self.running.append(c)

    def _fits(self, c: Continuation) -> bool:
        # One block more for each that runs, or it would be put back at once.
        needed = -(-(len(c.ids) + 1) // self.pool.block_tokens)
        if c.told == c.prompt_tokens:
            needed -= self.pool.shared_with(c.prompt_keys(self.pool))
        return needed + len(self.running) <= self.pool.available

    def _make_way(self, c: Continuation) -> bool:
        """Put back the youngest request of a client with several at work, for one who has none."""
        places = Counter(other.client for other in self.running)
        client, most = places.most_common(1)[0]
        if places[c.client] or most < 2:
            return False
        self._put_back(next(other for other in reversed(self.running) if other.client == client))
        return True

    def _put_back(self, c: Continuation) -> None:
        """Take a request's blocks; it waits to be read again, as far as the blocks will not be there."""
        self.running.remove(c)
        c.table.release(c.ids, c.held)
        c.held, c.interrupted = 0, True
        self.queue.put_back(c)
        self.preemptions += 1

    def _share(self, c: Continuation) -> None:
        before = c.held
        c.held = c.table.share(c.ids[: c.shareable], c.held)
        self.reused_tokens += c.held - before
        if not c.interrupted:
            c.ticket.reused_tokens += c.held - before

    # ---- the next tokens

    def _tokens(self, guessed: Mapping[Continuation, Sequence[int]]) -> list[Work]:
        work = []
        for c in [c for c in self.running if c.decoding]:
            if c not in self.running:  # put back for an older one
                continue
            ahead = guessed.get(c, ())
            if ahead and not c.table.extend(len(c.ids) + len(ahead)):
                ahead = ()
            if self._extend_by_force(c):
                work.append(Work(c, 1, "all" if ahead else "last", ahead))
        return work

    def _extend_by_force(self, c: Continuation) -> bool:
        """Have a block for the next token, taking those of the youngest; False where `c` itself went back."""
        while not c.table.extend(c.held + 1):
            youngest = self.running[-1]
            if youngest is c and len(self.running) == 1:
                return False
            self._put_back(youngest)
            if youngest is c:
                return False
        return True

    # ---- prompts

    def _prompts(self, tokens: list[Work]) -> list[Work]:
        budget = self.settings.shared_tokens if tokens else self.settings.prefill_tokens
        waiting = [c for c in self.running if not c.decoding]
        waiting.sort(key=lambda c: self.queue.account(c.client))
        work: list[Work] = []
        being_read: set[bytes] = set()
        for c in waiting:
            if budget <= 0:
                break
            self._share(c)
            if self._next_key(c) in being_read:
                continue  # another one reads the same beginning: it will be here for both
            count = self._affordable(c, budget)
            if count == 0:
                continue
            budget -= count
            wanted: Literal["none", "last", "all"] = "last" if count == c.unread else "none"
            if c.told < c.prompt_tokens and c.held + count >= c.told:
                wanted = "all"
            work.append(Work(c, count, wanted, reading=True))
            being_read.update(c.prompt_keys(self.pool)[c.held // self.pool.block_tokens :])
        return work

    def _affordable(self, c: Continuation, budget: int) -> int:
        count = min(c.unread, budget)
        if c.told < c.prompt_tokens:
            count = min(count, self._prompt_rows)
        if not c.table.extend(c.held + count):
            count = min(count, len(c.table.blocks) * self.pool.block_tokens - c.held)
        return count

    def _next_key(self, c: Continuation) -> bytes | None:
        size = self.pool.block_tokens
        if c.held % size or c.shareable < c.held + size:
            return None
        keys = c.prompt_keys(self.pool)
        return keys[c.held // size] if c.held // size < len(keys) else None
