"""Proposals: what followed the longest run at the end when it last occurred."""

import random
import time

from shizuku.inference.proposals import Proposals, propose


def by_search(ids: list[int], most: int, longest: int) -> list[int]:
    """The same by looking everywhere, longest run first."""
    for length in range(min(longest, len(ids) - 1), 0, -1):
        for place in range(len(ids) - 1, length - 1, -1):
            if ids[place - length : place] == ids[-length:]:
                written = list(ids)
                for number in range(most):
                    written.append(written[place + number])
                return written[len(ids) :]
    return []


def test_what_followed_last_time() -> None:
    assert propose([1, 2, 3, 9, 1, 2, 3]) == [9, 1, 2, 3, 9, 1, 2, 3]
    assert propose([1, 2, 3, 9, 8, 7, 1, 2, 3], most=2) == [9, 8]
    assert propose([5, 1, 6, 5, 2, 7, 5], most=1) == [2], "the latest occurrence"
    assert propose([4, 5, 1, 9, 5, 2, 4, 5], most=1) == [1], "a longer run is better than a later one"
    assert propose([7, 7, 7], most=3) == [7, 7, 7]
    assert propose([1, 2, 3]) == [] and propose([1]) == [] and propose([]) == []
    assert propose([1, 1], most=0) == []


def test_both_ways_and_a_plain_search_agree_on_random_sequences() -> None:
    chance = random.Random(0)
    found = 0
    for _ in range(1500):
        ids = [chance.randrange(chance.choice([2, 4, 20])) for _ in range(chance.randrange(40))]
        most, longest = chance.randrange(6), chance.randrange(1, 6)
        expected = by_search(ids, most, longest)
        assert propose(ids, most, longest) == expected
        index = Proposals(longest=longest)
        for start in range(0, len(ids), 7):
            index.extend(ids[start : start + 7])
        assert index.propose(most) == expected and len(index) == len(ids)
        found += bool(expected)
    assert found > 500


def test_following_a_sequence_that_grows_or_is_another_one() -> None:
    index = Proposals()
    for ids in ([1, 2, 3], [1, 2, 3, 1, 2], [1, 2, 3, 1, 2, 3, 1], [9, 8, 9], [9, 8, 9, 8]):
        index.follow(ids)
        assert index.propose() == propose(ids)


def test_long_sequences_cost_little() -> None:
    """8,192 tokens: a question to the index costs far less than one without."""
    chance = random.Random(0)
    ids = [chance.randrange(5000) for _ in range(8192)]
    index = Proposals(ids)
    begun = time.thread_time()
    for token in ids[:200]:
        index.extend([token])
        index.propose()
    indexed = (time.thread_time() - begun) / 200
    begun = time.thread_time()
    propose(ids)
    assert indexed < (time.thread_time() - begun) / 4
