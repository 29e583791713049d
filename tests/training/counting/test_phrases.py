"""Symmetrised alignments and phrases, against brute force and examples worked by hand."""

import itertools
import random

import pytest

from shizuku.training.counting.phrases import (
    Links,
    alignment_error_rate,
    backward_links,
    forward_links,
    phrase_spans,
    phrase_table,
    symmetrised,
)


def by_definition(links: Links, source: int, target: int, longest: int) -> set[tuple[int, int, int, int]]:
    """All consistent spans, by looking at every pair of spans."""
    found = set()
    for first, last in itertools.combinations_with_replacement(range(source), 2):
        for low, high in itertools.combinations_with_replacement(range(target), 2):
            if last - first >= longest or high - low >= longest:
                continue
            inside = [first <= one <= last for one, _ in links], [low <= other <= high for _, other in links]
            if any(map(all, zip(*inside, strict=True))) and all(a == b for a, b in zip(*inside, strict=True)):
                found.add((first, last + 1, low, high + 1))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_phrases_are_the_consistent_ones(seed: int) -> None:
    chooser = random.Random(seed)
    source, target = chooser.randint(1, 6), chooser.randint(1, 6)
    links = {(chooser.randrange(source), chooser.randrange(target)) for _ in range(chooser.randint(0, 6))}
    spans = list(phrase_spans(links, source, target, 4))
    found = {(one.start, one.stop, other.start, other.stop) for one, other in spans}
    assert len(spans) == len(found), "each once"
    assert found == by_definition(links, source, target, 4)


def test_growing_stays_between_intersection_and_union() -> None:
    chooser = random.Random(1)
    for _ in range(100):
        sides = [{(chooser.randrange(5), chooser.randrange(5)) for _ in range(5)} for _ in range(2)]
        grown = symmetrised(*sides, "grow-diag-final")
        assert sides[0] & sides[1] <= grown <= sides[0] | sides[1]
        linked = {one for one, _ in grown}, {other for _, other in grown}
        for one, other in sides[0] | sides[1]:
            assert one in linked[0] or other in linked[1], (
                "a word with a link of either side is not left alone"
            )
    assert symmetrised({(0, 0), (1, 2)}, {(0, 0), (1, 1)}, "grow-diag-final") == {(0, 0), (1, 1)} | {(1, 2)}
    assert symmetrised({(0, 0)}, {(1, 1)}, "intersection") == set()
    assert symmetrised({(0, 0)}, {(1, 1)}, "union") == {(0, 0), (1, 1)}


def test_a_table_counts_and_shares() -> None:
    sentences = [
        (["das", "Haus"], ["the", "house"], forward_links([0, 1])),
        (["das", "Buch"], ["the", "book"], backward_links([0, 1])),
    ]
    table = {(one.source, one.target): one for one in phrase_table(sentences)}
    assert table[("das",), ("the",)].count == 2 and table[("das",), ("the",)].forward == 1
    assert table[("das", "Haus"), ("the", "house")].backward == 1 and len(table) == 5
    assert {one.count for one in phrase_table(sentences, least=2)} == {2}


def test_the_error_rate_is_0_of_the_truth_and_1_of_nothing_right() -> None:
    sure, possible = [{(0, 0)}], [{(0, 0), (1, 1)}]
    assert alignment_error_rate(sure, sure, possible) == 0
    assert alignment_error_rate(possible, sure, possible) == 0
    assert alignment_error_rate([{(0, 1)}], sure, possible) == 1
    assert alignment_error_rate([{(0, 0), (0, 1)}], sure, possible) == pytest.approx(1 / 3)
