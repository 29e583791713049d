"""The report of a reward model: losses, what held-out pairs say of it, and how sure it is rightly."""

from pathlib import Path
from typing import TYPE_CHECKING

from shizuku.evaluation.preferences import Judgement
from shizuku.report.page import Card, Figure, Page
from shizuku.report.plots import Series, histogram, line
from shizuku.tuning.loss_curve import loss_curve
from shizuku.tuning.reward_config import RewardConfig

if TYPE_CHECKING:
    from shizuku.tuning.reward import RewardResult
    from shizuku.tuning.reward_pairs import Prepared


def write_page(path: Path, config: RewardConfig, ready: "Prepared", result: "RewardResult") -> Path:
    """Write the report and return its path."""
    page = Page(f"A reward model on {config.model}", f"{result.pairs:,} pairs, {config.out}")
    judged, training = result.judgement, result.training
    cards = [Card("Time", f"{training.seconds:,.0f} s", f"{result.tokens:,} tokens")]
    if judged is not None:
        interval = f"95 %: {judged.accuracy.low:.1%} to {judged.accuracy.high:.1%}"
        cards = [
            Card("Held-out accuracy", f"{judged.accuracy.mean:.1%}", f"{interval}, {result.heldout:,} pairs"),
            Card("Held-out loss", f"{judged.loss:.3f}", "nats a pair; a coin has 0.693"),
            Card("Calibration error", f"{judged.calibration_error:.3f}", "distance of stated and observed"),
            *cards,
        ]
    page.cards(cards)
    loss_curve(
        page,
        training,
        "-log sigmoid of reward of the chosen less that of the rejected answer, in nats a pair.",
        references={"a coin": 0.6931},
    )
    if judged is not None:
        _judgement(page, judged, result)
    _data(page, ready, result)
    return page.write(path)


def _judgement(page: Page, judged: Judgement, result: "RewardResult") -> None:
    page.section(
        "Held-out pairs",
        "How far apart the two answers are, and whether the model is right as often as sigmoid of that says.",
    )
    diagonal = Series("as it says", [0.5, 1.0], [0.5, 1.0])
    observed = Series(
        "observed", [each.stated for each in judged.bins], [each.observed for each in judged.bins]
    )
    page.figures(
        Figure(
            histogram(result.margins, x="margin", y="pairs"),
            "Reward of the chosen less that of the rejected answer; below zero the model is wrong.",
        ),
        Figure(
            line([observed, diagonal], x="stated probability", y="share right", marks=True),
            "Of pairs of which the model is about equally sure: what it says, and how often it is right.",
        ),
    )
    rows = [
        (f"{each.low:.2f} to {each.high:.2f}", each.items, f"{each.stated:.3f}", f"{each.observed:.3f}")
        for each in judged.bins
    ]
    page.table(["stated probability", "pairs", "mean stated", "share right"], rows)
    scale = result.scale
    page.text(
        f"Rewards are shifted by {scale.offset:+.3f}, so that chosen answers have a mean of zero; their "
        f"standard deviation is {scale.deviation:.3f}."
    )


def _data(page: Page, ready: "Prepared", result: "RewardResult") -> None:
    page.section("Data", "What was read, and what of it was learned from.")
    train, heldout = ready.data["train"], ready.data["heldout"]
    names = {
        "pairs": "pairs",
        "tokens": "tokens of both sides",
        "dropped_too_long": "left out as too long",
        "cut_too_long": "cut as too long",
    }
    rows = [(label, train[name], heldout[name]) for name, label in names.items()]
    page.table(["", "learned from", "held out"], rows, caption=f"Padding: {result.padding:.1%} of the rows.")
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in ready.data["formats"].items())
    page.text(f"Read: {kinds}.")
    for reason in ready.skipped.splitlines():
        page.text(f"{reason[0].upper()}{reason[1:]}.")
