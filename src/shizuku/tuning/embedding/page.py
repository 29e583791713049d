"""The report of a sentence encoder: losses, and how well held-out texts find each other before and after."""

from pathlib import Path
from typing import TYPE_CHECKING

from shizuku.report.page import Card, Page
from shizuku.tuning.embedding.config import EmbedTrainConfig
from shizuku.tuning.loss_curve import loss_curve

if TYPE_CHECKING:
    from shizuku.tuning.embedding.preparing import Prepared
    from shizuku.tuning.embedding.training import EmbedResult, Found


def write_page(path: Path, config: EmbedTrainConfig, ready: "Prepared", result: "EmbedResult") -> Path:
    """Write the report and return its path."""
    page = Page(f"Vectors of texts from {config.model}", f"{result.seen:,} pairs gone through, {config.out}")
    cards = [Card("Time", f"{result.training.seconds:,.0f} s", f"{result.tokens:,} tokens")]
    if result.before is not None and result.after is not None and result.gain is not None:
        recall = result.after.forward.recall
        cards = [
            Card(
                "Recall at 1",
                f"{recall.mean:.1%}",
                f"95 %: {recall.low:.1%} to {recall.high:.1%}, among {result.judged:,} held-out texts",
            ),
            Card("Before", f"{result.before.forward.recall.mean:.1%}", "the model that training began with"),
            Card(
                "Risen by",
                f"{result.gain.mean:.1%}",
                f"95 %: {result.gain.low:.1%} to {result.gain.high:.1%}",
            ),
            *cards,
        ]
    page.cards(cards)
    text = "-log of the share of the own text among those of its batch, in nats a pair."
    loss_curve(page, result.training, text)
    if result.before is not None and result.after is not None:
        _found(page, result.before, result.after, result.judged)
    page.section("Data", "What was read, and what of it was learned from.")
    page.facts(
        {
            f"{'single texts' if result.single else 'pairs'} to learn from": result.pairs,
            "gone through, again and again counted again": result.seen,
            "pairs held out": result.heldout,
            "texts cut as too long": result.cut,
            "padding": f"{result.padding:.1%} of the rows",
            "pooling": f"{result.pooling} of a text's tokens",
        }
    )
    for reason in ready.skipped.splitlines():
        page.text(f"{reason[0].upper()}{reason[1:]}.")
    return page.write(path)


def _found(page: Page, before: "Found", after: "Found", judged: int) -> None:
    page.section(
        "Held-out pairs",
        f"Each text looks for its own among {judged:,}, by the cosine of their vectors; 95 % intervals over "
        "texts.",
    )
    rows = [
        (f"{name}, {measure}", str(getattr(one, what)), str(getattr(other, what)))
        for name, one, other in (
            ("second text from the first", before.forward, after.forward),
            ("first text from the second", before.backward, after.backward),
        )
        for measure, what in (("recall at 1", "recall"), ("MRR", "reciprocal_rank"))
    ]
    page.table(["", "before", "after"], rows)
