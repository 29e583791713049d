"""From alignments of both directions to one, and to the pairs of phrases that it allows.

A link is (place of the source word, place of the target word), both from 0 on.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Links = set[tuple[int, int]]
Aligned = tuple[Sequence[str], Sequence[str], Links]
"""The words of both sides and their links."""
Symmetry = Literal["grow-diag-final", "intersection", "union", "forward"]
NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def forward_links(places: Sequence[int]) -> Links:
    """The links of an alignment that says for each target word its source word's place, or -1."""
    return {(place, at) for at, place in enumerate(places) if place >= 0}


def backward_links(places: Sequence[int]) -> Links:
    """Those of one that says for each source word its target word's place, or -1."""
    return {(at, place) for at, place in enumerate(places) if place >= 0}


def symmetrised(forward: Links, backward: Links, how: Symmetry) -> Links:
    """One alignment out of two directions.

    grow-diag-final (Koehn, Och and Marcu 2003) begins with the links of both, adds neighbouring links of
    either to words that have none yet, and in the end other links to such words.
    """
    if how == "forward":
        return forward
    if how == "intersection":
        return forward & backward
    if how == "union":
        return forward | backward
    either, links = forward | backward, forward & backward
    ours, theirs = {one for one, _ in links}, {other for _, other in links}
    growing = True
    while growing:
        growing = False
        for one, other in sorted(links):
            for step, move in NEIGHBOURS:
                near = one + step, other + move
                if near in either and near not in links and (near[0] not in ours or near[1] not in theirs):
                    links.add(near)
                    ours.add(near[0])
                    theirs.add(near[1])
                    growing = True
    for direction in (forward, backward):
        for one, other in sorted(direction):
            if one not in ours or other not in theirs:
                links.add((one, other))
                ours.add(one)
                theirs.add(other)
    return links


@dataclass(frozen=True, slots=True)
class Phrase:
    """An entry of a phrase table."""

    source: tuple[str, ...]
    """The words of the one language."""
    target: tuple[str, ...]
    """Those of the other."""
    count: int
    """How often they were taken for each other."""
    forward: float
    """Share of the source phrase's counts that this target has."""
    backward: float
    """Share of the target phrase's counts that this source has."""


def phrase_spans(
    links: Links, source_length: int, target_length: int, longest: int
) -> Iterator[tuple[slice, slice]]:
    """Every pair of spans that no link leaves (Och and Ney 2004), up to `longest` words, with a link inside.

    Words without a link at the borders of the target span may be taken in or left out.
    """
    linked = {other for _, other in links}
    for first in range(source_length):
        for last in range(first, min(first + longest, source_length)):
            inside = [other for one, other in links if first <= one <= last]
            if not inside:
                continue
            low, high = min(inside), max(inside)
            if high - low >= longest or any(
                low <= other <= high and not first <= one <= last for one, other in links
            ):
                continue
            start = low
            while start >= 0 and high - start < longest:
                end = high
                while end < target_length and end - start < longest:
                    yield slice(first, last + 1), slice(start, end + 1)
                    end += 1
                    if end in linked:
                        break
                start -= 1
                if start in linked:
                    break


def phrase_table(sentences: Sequence[Aligned], *, longest: int = 4, least: int = 1) -> list[Phrase]:
    """Phrases seen `least` times or more in aligned sentences, the most frequent first."""
    pairs: Counter[tuple[tuple[str, ...], tuple[str, ...]]] = Counter()
    for source, target, links in sentences:
        for ours, theirs in phrase_spans(links, len(source), len(target), longest):
            pairs[tuple(source[ours]), tuple(target[theirs])] += 1
    totals: tuple[Counter[tuple[str, ...]], Counter[tuple[str, ...]]] = (Counter(), Counter())
    for (ours_words, theirs_words), count in pairs.items():
        totals[0][ours_words] += count
        totals[1][theirs_words] += count
    return [
        Phrase(one, other, count, count / totals[0][one], count / totals[1][other])
        for (one, other), count in pairs.most_common()
        if count >= least
    ]


def alignment_error_rate(found: Sequence[Links], sure: Sequence[Links], possible: Sequence[Links]) -> float:
    """1 - (|A and S| + |A and P|) / (|A| + |S|) over all sentences (Och and Ney 2003); S is part of P."""
    hits = sum(len(a & s) + len(a & (p | s)) for a, s, p in zip(found, sure, possible, strict=True))
    whole = sum(len(a) + len(s) for a, s in zip(found, sure, strict=True))
    return 1.0 - hits / whole if whole else 0.0
