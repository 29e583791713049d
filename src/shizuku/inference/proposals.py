"""Guesses for speculative decoding without a second model: what followed the same tokens before.

Text that repeats what it has read (code, tables, quotations, tool calls) is guessed well and costs nothing
to guess; the model then checks several tokens in one step (prompt lookup, Saxena 2023; Yang et al. 2023,
arXiv:2304.04487).
"""

from collections.abc import Sequence


class Proposals:
    """An index over one growing sequence of token ids: where each run of 1 to `longest` tokens last ended."""

    def __init__(self, ids: Sequence[int] = (), *, longest: int = 4) -> None:
        assert longest >= 1, f"a run has at least one token, not {longest}"
        self._longest = longest
        self._ids: list[int] = []
        # For each length: the run to the places behind its latest occurrence and the one before. The latest
        # is the end of the sequence itself while that is asked about, behind which there is nothing.
        self._behind: list[dict[tuple[int, ...], tuple[int, int]]] = [{} for _ in range(longest)]
        self.extend(ids)

    def __len__(self) -> int:
        return len(self._ids)

    def extend(self, ids: Sequence[int]) -> None:
        """Read on."""
        for token in ids:
            self._ids.append(int(token))
            end = len(self._ids)
            for length in range(1, min(self._longest, end) + 1):
                behind = self._behind[length - 1]
                run = tuple(self._ids[end - length :])
                latest = behind.get(run)
                behind[run] = (end, 0 if latest is None else latest[0])

    def follow(self, ids: Sequence[int]) -> None:
        """Read what `ids` has beyond the tokens read; another beginning is read anew."""
        held = len(self._ids)
        if len(ids) < held or (held and ids[held - 1] != self._ids[-1]):
            self.__init__(longest=self._longest)  # type: ignore[misc]
            held = 0
        self.extend(ids[held:])

    def propose(self, most: int = 8) -> list[int]:
        """At most `most` tokens that followed the longest run at the end when it last occurred; or none."""
        end = len(self._ids)
        for length in range(min(self._longest, end - 1), 0, -1):
            before = self._behind[length - 1][tuple(self._ids[end - length :])][1]
            if before:
                return self._repeated(before, most)
        return []

    def _repeated(self, place: int, most: int) -> list[int]:
        """The tokens from `place` on; where they reach the end, what has been proposed goes on repeating."""
        proposed: list[int] = []
        for number in range(most):
            source = place + number
            beyond = source - len(self._ids)
            proposed.append(self._ids[source] if beyond < 0 else proposed[beyond])
        return proposed


def propose(ids: Sequence[int], most: int = 8, longest: int = 4) -> list[int]:
    """`Proposals(ids).propose(most)` without an index: for one question about one sequence."""
    ids = list(ids)
    end = len(ids)
    best_place, best_length = 0, 0
    for place in range(end - 1, 0, -1):  # the latest first: only a longer run is better
        length = 0
        while length < longest and length < place and ids[place - 1 - length] == ids[end - 1 - length]:
            length += 1
        if length > best_length:
            best_place, best_length = place, length
            if length == longest:
                break
    if not best_length:
        return []
    proposed: list[int] = []
    for number in range(most):
        source = best_place + number
        proposed.append(ids[source] if source < end else proposed[source - end])
    return proposed
