"""Who is next: requests wait in one line for each client, and the client that got least is served first.

A client's account counts the tokens that were computed for it. One who comes anew, or comes back, begins
with the lowest account of those who are there, so nobody saves up turns (Sheng et al. 2024, virtual token
counters).
"""

from collections import Counter, deque
from typing import Generic, Protocol, TypeVar, runtime_checkable


@runtime_checkable
class Waiting(Protocol):
    """What the queue needs to know of a request."""

    @property
    def client(self) -> str:
        """Whose it is."""


W = TypeVar("W", bound=Waiting)


class FairQueue(Generic[W]):
    """Requests that wait, and the accounts of the clients that have any here or at work."""

    def __init__(self) -> None:
        """Begin empty."""
        self._lines: dict[str, deque[W]] = {}
        self._accounts: dict[str, int] = {}
        self._present: Counter[str] = Counter()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def of(self, client: str) -> int:
        """How many of a client's requests wait."""
        return len(self._lines.get(client, ()))

    def enter(self, item: W) -> None:
        """A new request: it waits behind its client's others."""
        if item.client not in self._accounts:
            self._accounts[item.client] = min(self._accounts.values(), default=0)
        self._present[item.client] += 1
        self._lines.setdefault(item.client, deque()).append(item)

    def put_back(self, item: W) -> None:
        """A request that was taken waits again, before its client's others."""
        self._lines.setdefault(item.client, deque()).appendleft(item)

    def first(self) -> W | None:
        """The request that is next: the first one of the client with the lowest account."""
        if not self._lines:
            return None
        return self._lines[min(self._lines, key=self._accounts.__getitem__)][0]

    def take(self, item: W) -> None:
        """A request no longer waits."""
        line = self._lines[item.client]
        line.remove(item)
        if not line:
            del self._lines[item.client]

    def charge(self, client: str, tokens: int) -> None:
        """Tokens were computed for a client."""
        self._accounts[client] += tokens

    def account(self, client: str) -> int:
        """What was computed for a client since it came."""
        return self._accounts[client]

    def leave(self, item: W) -> None:
        """A request that was taken has ended; clients without requests are forgotten."""
        self._present[item.client] -= 1
        if self._present[item.client] == 0:
            del self._present[item.client], self._accounts[item.client]

    def waiting(self) -> list[W]:
        """All requests that wait."""
        return [item for line in self._lines.values() for item in line]
