"""Where a translation model looks, beside what the IBM models align, on the same sentences.

    shizuku word-align --source SOURCE --target TARGET --out ALIGNED
    python recipes/attention_beside_alignment.py MODEL ALIGNED --source SOURCE --target TARGET --out PAGE.html
        [--sentences 12] [--first 0] [--layer N]

Words are parted by spaces. Each sentence is drawn twice: the model's attention while it is told the
reference, and the forward model's shares, both with the symmetrised links framed that ALIGNED has for the
line. Printed: how much of the weight of the target's linked words lies on source words that they are linked
to, and how often the largest of a row is one of those. The IBM models have seen these sentences; the
translation model has if they are of its training.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shizuku.checkpoints.alignment import load_alignment
from shizuku.report.grids import grid
from shizuku.report.page import Figure, Page
from shizuku.text.bitext import read_pairs
from shizuku.translation import Translator


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a table of shares goes with links."""

    share: float
    """Of the linked rows' weight, on linked columns."""
    largest: float
    """How often a linked row's largest is a linked column."""


def links_of(line: str) -> set[tuple[int, int]]:
    """Places (target, source) that are linked."""
    pairs = (one.split("-") for one in line.split())
    return {(int(target), int(source)) for source, target in pairs}


def agreement(tables: Sequence[np.ndarray], links: Sequence[set[tuple[int, int]]]) -> Agreement:
    """Over all sentences; a table's columns are the source's words alone."""
    shares, hits = [], []
    for weights_TS, linked in zip(tables, links, strict=True):
        for row in sorted({target for target, _ in linked}):
            columns = [source for target, source in linked if target == row]
            shares.append(float(weights_TS[row, columns].sum()))
            hits.append(int(weights_TS[row].argmax()) in columns)
    return Agreement(float(np.mean(shares)), float(np.mean(hits)))


def main(arguments: Sequence[str] | None = None) -> dict[str, Agreement]:
    """Compare, draw and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("aligned", type=Path)
    for name in ("--source", "--target", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--sentences", type=int, default=12)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--layer", type=int, default=None)
    given = parser.parse_args(arguments)
    translator, ibm = Translator.load(given.model), load_alignment(given.aligned / "forward")
    some = slice(given.first, given.first + given.sentences)
    pairs = read_pairs(given.source, given.target)[some]
    lines = (given.aligned / "alignments.txt").read_text(encoding="utf-8").splitlines()[some]
    links = [links_of(line) for line in lines]
    page = Page("Attention beside word alignment", f"{given.model} and {given.aligned}")
    page.section(
        "Sentences",
        "Left the translation model, right the alignment model; frames are the symmetrised links.",
    )
    looked, counted = [], []
    for (source, target), marks in zip(pairs, links, strict=True):
        looks = translator.attention(source, target, layer=given.layer)
        ours, theirs = source.split(), target.split()
        shares_JI = ibm.shares(ours, theirs)
        looked.append(looks.weights_TS[: len(theirs), : len(ours)])
        counted.append(shares_JI[:, -len(ours) :])
        drawn = grid(looks.weights_TS, looks.target, looks.source, marks=marks, most=1.0)
        beside = grid(counted[-1], theirs, ours, marks=marks, most=1.0)
        page.figures(Figure(drawn, f"attention: {source}"), Figure(beside, f"model 2: {target}"))
    found = {"attention": agreement(looked, links), "model 2": agreement(counted, links)}
    given.out.write_text(page.html(), encoding="utf-8")
    print("| | weight on linked words | largest is linked |\n|---|---|---|")
    for name, one in found.items():
        print(f"| {name} | {one.share:.1%} | {one.largest:.1%} |")
    return found


if __name__ == "__main__":
    main()
