"""The page of `shizuku word-align`: how EM went, pictures of alignments, the table's beginning."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shizuku.report.grids import grid
from shizuku.report.page import Card, Figure, Page
from shizuku.report.plots import Series, line
from shizuku.training.counting.alignment import Learned
from shizuku.training.counting.phrases import Aligned, Phrase

if TYPE_CHECKING:
    from shizuku.commands.word_align import Config

LEGIBLE = 16
"""Words of a sentence that is shown at most."""
ROWS = 30


def write_page(
    config: "Config",
    learned: Sequence[Learned],
    aligned: Sequence[Aligned],
    phrases: Sequence[Phrase],
    result: dict[str, Any],
) -> Path:
    """Write the page and return its path."""
    page = Page("Word alignment", f"{config.source.name} and {config.target.name}")
    page.cards(
        [
            Card("sentences", f"{result['sentences']:,}", ""),
            Card("links", f"{result['links']:,}", f"{config.symmetry} of both directions"),
            Card("phrases", f"{result['phrases']:,}", f"seen {config.least} times or more"),
        ]
    )
    words = sum(len(target) for _, target, _ in aligned), sum(len(source) for source, _, _ in aligned)
    series = [
        Series(name, list(range(len(one.logprobs))), [-logprob / count for logprob in one.logprobs])
        for name, one, count in zip(("forward", "backward"), learned, words, strict=True)
    ]
    page.section("Learning", "What EM raises: how probable a word is, given the words of the other side.")
    page.figures(
        Figure(
            line(series, x="iterations", y="nats a word"),
            "Less is better; steps are where another model begins.",
        )
    )
    page.section(
        "Alignments",
        "A row is a word of the target, a column one of the source. Shades: how much of the word comes from "
        "there, in the forward model. Frames: links of the two directions together.",
    )
    model = learned[0].model
    shown = [one for one in aligned if max(len(one[0]), len(one[1])) <= LEGIBLE][: config.pictures]
    figures = []
    for source, target, links in shown:
        shares_JI = model.shares(source, target)
        marks = {(other, one) for one, other in links}
        drawn = grid(shares_JI[:, 1:], list(target), list(source), marks=marks, most=1.0)
        figures.append(Figure(drawn, f"{' '.join(source)} | {' '.join(target)}"))
    page.figures(*figures)
    page.section("Phrases", "The most frequent of the table.")
    page.table(
        ("source", "target", "count", "p(target|source)", "p(source|target)"),
        [
            (
                " ".join(one.source),
                " ".join(one.target),
                one.count,
                round(one.forward, 3),
                round(one.backward, 3),
            )
            for one in phrases[:ROWS]
        ],
    )
    return page.write(config.out / "report.html")
