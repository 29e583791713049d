"""The report of a DPO run: losses, rewards, counts, and what the model answers before and after."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shizuku.evaluation.bootstrap import bootstrap
from shizuku.report.page import Card, Figure, Page, Sample
from shizuku.report.plots import Series, line
from shizuku.tuning.align_config import AlignConfig
from shizuku.tuning.dpo.distance import Drawn

if TYPE_CHECKING:
    from shizuku.tuning.dpo.preparing import Prepared
    from shizuku.tuning.dpo.run import DpoResult

COUNTS = {
    "pairs": "pairs",
    "tokens": "tokens, both sides",
    "answer_tokens": "tokens of answers, which the loss counts",
    "dropped_too_long": "left out as too long",
    "cut_too_long": "cut as too long",
}


def write_page(path: Path, config: AlignConfig, ready: "Prepared", result: "DpoResult") -> Path:
    """Write the report and return its path."""
    page = Page(f"{config.model}, aligned by DPO", f"{len(ready.train.items):,} pairs, {config.out}")
    before, after = result.before.judged, result.after.judged
    cards = []
    if before is not None and after is not None:
        cards.append(
            Card(
                "Held-out accuracy",
                f"{after.accuracy.mean:.0%}",
                f"implicit reward, 95 %: {after.accuracy.low:.0%} to {after.accuracy.high:.0%}; "
                f"before {before.accuracy.mean:.0%}",
            )
        )
        cards.append(Card("Held-out margin", f"{after.margin}", f"before {before.margin.mean:.3f}"))
    if result.before.rewards is not None and result.after.rewards is not None:
        old, new = bootstrap(result.before.rewards), bootstrap(result.after.rewards)
        cards.append(Card("Reward", f"{new}", f"{config.reward}, of answers drawn; before {old}"))
    if result.kl is not None:
        cards.append(Card("Distance", f"{result.kl:.2f} nats", "from the reference, an answer of its own"))
    cards.append(
        Card(
            "Time",
            f"{result.training.seconds:,.0f} s",
            f"{result.seen.tokens:,} tokens, {result.seen.padding:.1%} padding",
        )
    )
    page.cards(cards)
    _curves(page, config, result.training.history, result.training.kept_step)
    _data(page, config, ready)
    _judged(page, result)
    _answers(page, result, held=bool(ready.heldout.items))
    return page.write(path)


def _curves(page: Page, config: AlignConfig, history: list[dict[str, Any]], kept: int | None) -> None:
    page.section("Training", "Each point is one step's pairs; held-out points are all held-out pairs.")
    figures = []
    for name, held, unit, says in (
        (
            "loss",
            "validation_loss",
            "loss",
            f"The loss ({config.dpo.loss}) over the steps. Kept: step {kept or history[-1]['step']:,}.",
        ),
        (
            "term/accuracy",
            "validation/accuracy",
            "share",
            "How often the chosen answer has the higher reward.",
        ),
        (
            "term/margin",
            "validation/margin",
            "reward",
            "Reward of the chosen answer less the rejected one's.",
        ),
    ):
        figures.append(Figure(_line(history, {"training": name, "held out": held}, unit), says))
    rewards = {"chosen": "term/chosen_reward", "rejected": "term/rejected_reward"}
    says = "Rewards of both answers in training: beta times the log-probability beyond the reference's."
    figures.append(Figure(_line(history, rewards, "reward"), says))
    page.figures(*figures)


def _line(history: list[dict[str, Any]], named: dict[str, str], unit: str) -> Any:
    series = []
    for label, key in named.items():
        there = [record for record in history if key in record]
        if there:
            series.append(Series(label, [one["step"] for one in there], [one[key] for one in there]))
    return line(series, x="step", y=unit, marks=len(history) < 40)


def _data(page: Page, config: AlignConfig, ready: "Prepared") -> None:
    page.section("Data", "What was read, and what of it was learned from.")
    train, heldout = ready.data["train"], ready.data["heldout"]
    rows = [(label, train[name], heldout[name]) for name, label in COUNTS.items()]
    page.table(["", "learned from", "held out"], rows, caption=f"Rows of {ready.data['context']:,} tokens.")
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in ready.data["formats"].items())
    page.text(f"Read: {kinds}.")
    other = "" if config.reference is None else ", which is not the model that training began with"
    page.text(f"The reference is {ready.reference}{other}.")
    for reason in ready.skipped.splitlines():
        page.text(f"{reason[0].upper()}{reason[1:]}.")


def _judged(page: Page, result: "DpoResult") -> None:
    before, after = result.before.judged, result.after.judged
    if before is None or after is None:
        return
    page.section(
        "Held-out pairs",
        "Shares of pairs, with 95 % intervals over the pairs. The implicit reward is beta times the "
        "log-probability beyond the reference's, so where the reference is the start all rewards before are "
        "0, and every pair is a tie.",
    )
    names = {
        "implicit reward prefers the chosen answer": "accuracy",
        "the chosen answer is likelier": "likelier",
        "the chosen answer is likelier a token": "likelier_per_token",
        "margin of the implicit reward": "margin",
    }
    rows = [(label, str(getattr(before, name)), str(getattr(after, name))) for label, name in names.items()]
    page.table(["", "before", "after"], rows)


def _answers(page: Page, result: "DpoResult", *, held: bool) -> None:
    if not result.prompts:
        return
    kind = "Held-out prompts" if held else "Prompts of the training data, as none were held out"
    page.section("Answers", f"{kind}; answers drawn at temperature 1, before and after.")
    answers = zip(result.prompts, result.before.answers, result.after.answers, strict=True)
    for pair, old, new in answers:
        page.heading(_short(str(pair.prompt[-1]["content"])))
        page.samples(
            Sample(old.text or "(nothing)", label=f"before{_ending(old)}"),
            Sample(new.text or "(nothing)", label=f"after{_ending(new)}"),
            Sample(pair.chosen_text, label="chosen in the data"),
            Sample(pair.rejected_text, label="rejected in the data"),
        )


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 160 else f"{text[:159]}…"


def _ending(answer: Drawn) -> str:
    return "" if answer.stopped else " (cut at the limit)"
