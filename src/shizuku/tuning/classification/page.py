"""The report of a classifier: losses, the table of confusions, and how sure it is rightly."""

from pathlib import Path
from typing import TYPE_CHECKING

from shizuku.evaluation.classification import ClassJudgement
from shizuku.report.page import Card, Figure, Page
from shizuku.report.plots import Series, line
from shizuku.tuning.classification.config import ClassifyConfig
from shizuku.tuning.loss_curve import loss_curve

if TYPE_CHECKING:
    from shizuku.tuning.classification.training import ClassifyResult, Prepared


def write_page(path: Path, config: ClassifyConfig, ready: "Prepared", result: "ClassifyResult") -> Path:
    """Write the report and return its path."""
    page = Page(f"A classifier on {config.model}", f"{', '.join(result.labels[:12])}; {config.out}")
    judged, training = result.judgement, result.training
    cards = [Card("Time", f"{training.seconds:,.0f} s", f"{result.tokens:,} tokens")]
    if judged is not None:
        cards = [
            Card(
                "Held-out accuracy",
                f"{judged.accuracy.mean:.1%}",
                f"95 %: {judged.accuracy.low:.1%} to {judged.accuracy.high:.1%}, {result.heldout:,} texts",
            ),
            Card(
                "Macro F1",
                f"{judged.macro_f1.mean:.3f}",
                f"95 %: {judged.macro_f1.low:.3f} to {judged.macro_f1.high:.3f}",
            ),
            Card("Calibration error", f"{judged.calibration_error:.3f}", "distance of stated and observed"),
            *cards,
        ]
    page.cards(cards)
    loss_curve(page, training, "Cross entropy of the labels, in nats a text.")
    if judged is not None:
        _judgement(page, judged)
    page.section("Data", "What was read, and what of it was learned from.")
    page.facts(
        {
            f"{'pairs of texts' if result.pairs else 'texts'} learned from": result.examples,
            "of them labelled by a first classifier": result.pseudo,
            "held out": result.heldout,
            "cut as too long": result.cut,
            "padding": f"{result.padding:.1%} of the rows",
        }
    )
    for reason in ready.skipped.splitlines():
        page.text(f"{reason[0].upper()}{reason[1:]}.")
    return page.write(path)


def _judgement(page: Page, judged: ClassJudgement) -> None:
    page.section("Held-out texts", "Rows are the labels in the data, columns those that were given.")
    rows = [
        (label, *map(int, counts)) for label, counts in zip(judged.labels, judged.confusion_CC, strict=True)
    ]
    page.table(["", *judged.labels], rows)
    observed = Series(
        "observed", [each.stated for each in judged.bins], [each.observed for each in judged.bins]
    )
    page.figures(
        Figure(
            line(
                [observed, Series("as it says", [0.0, 1.0], [0.0, 1.0])],
                x="stated probability", y="share right", marks=True,
            ),
            "Of texts of which it is about equally sure: what it says, and how often it is right.",
        )
    )  # fmt: skip
