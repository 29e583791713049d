"""The report of a tuning run: losses, counts, and what the model answers before and after."""

from pathlib import Path
from typing import TYPE_CHECKING

from shizuku.report.page import Card, Page, Sample
from shizuku.tuning.answers import Answer, reference_of
from shizuku.tuning.config import TuneConfig
from shizuku.tuning.examples import Conversation
from shizuku.tuning.loss_curve import loss_curve

if TYPE_CHECKING:
    from shizuku.tuning.tune import Prepared, TuneResult


def write_page(path: Path, config: TuneConfig, ready: "Prepared", result: "TuneResult") -> Path:
    """Write the report and return its path."""
    figures, training = result.to_json(), result.training
    page = Page(f"{config.model}, tuned", f"{result.examples:,} examples, {config.out}")
    stops = figures["stops_after"]
    page.cards(
        [
            Card("Held-out loss", _number(training.validation_loss), "nats a learned token, of what is kept"),
            Card(
                "Stops by itself",
                "–" if stops is None else f"{stops:.0%}",
                f"of {len(result.after)} held-out answers; before {_percent(figures['stops_before'])}",
            ),
            Card(
                "Speed",
                f"{figures['tokens_per_second']:,.0f} tokens/s",
                f"{figures['learned_tokens_per_second']:,.0f} learned; {result.padding:.1%} padding",
            ),
            Card("Time", f"{training.seconds:,.0f} s", f"{result.tokens:,} tokens"),
        ]
    )
    loss_curve(
        page, training, "Cross entropy of the learned tokens, in nats; held-out losses have no regulariser."
    )
    _data(page, config, ready, result)
    _answers(page, result, held=bool(ready.heldout.examples))
    return page.write(path)


def _data(page: Page, config: TuneConfig, ready: "Prepared", result: "TuneResult") -> None:
    page.section("Data", "What was read, and what of it was learned from.")
    train, heldout = ready.data["train"], ready.data["heldout"]
    names = {
        "examples": "examples",
        "tokens": "tokens",
        "learned_tokens": "tokens that the loss counts",
        "dropped_too_long": "left out as too long",
        "cut_too_long": "cut as too long",
    }
    rows = [(label, train[name], heldout[name]) for name, label in names.items()]
    page.table(["", "learned from", "held out"], rows, caption=f"Rows of {ready.context:,} tokens.")
    if result.trained_parameters != result.parameters:
        page.text(
            f"Trained: an adapter of {result.trained_parameters:,} numbers (rank {config.lora.rank}) on a "
            f"{config.base} base of {result.parameters - result.trained_parameters:,}."
        )
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in ready.data["formats"].items())
    page.text(f"Read: {kinds}.")
    for reason in ready.skipped.splitlines():
        page.text(f"{reason[0].upper()}{reason[1:]}.")


def _answers(page: Page, result: "TuneResult", *, held: bool) -> None:
    if not result.after:
        return
    kind = "Held-out prompts" if held else "Prompts of the training data, as none were held out"
    page.section("Answers", f"{kind}; the most probable answer, before and after tuning.")
    before: list[Answer | None] = [*result.before] or [None] * len(result.after)
    for prompt, old, new in zip(result.prompts, before, result.after, strict=True):
        page.heading(_asked(prompt))
        samples = [Sample(new.text or "(nothing)", label=f"after{_ending(new)}")]
        if old is not None:
            samples.insert(0, Sample(old.text or "(nothing)", label=f"before{_ending(old)}"))
        page.samples(*samples, Sample(reference_of(prompt), label="in the data"))


def _asked(prompt: Conversation) -> str:
    text = str([turn for turn in prompt.messages if turn["role"] == "user"][-1]["content"])
    text = " ".join(text.split())
    return text if len(text) <= 160 else f"{text[:159]}…"


def _ending(answer: Answer) -> str:
    return "" if answer.stopped else " (cut at the limit)"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
