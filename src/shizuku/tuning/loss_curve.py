"""The section of a report that shows how the loss fell."""

from collections.abc import Mapping

from shizuku.report.page import Figure, Page
from shizuku.report.plots import Series, line
from shizuku.training.result import TrainResult


def loss_curve(
    page: Page, training: TrainResult, text: str, *, references: Mapping[str, float] | None = None
) -> None:
    """Add the losses of training and of what is held out; `text` says what they are losses of, in nats."""
    page.section("Loss", text)
    history = training.history
    held = [record for record in history if "validation_loss" in record]
    series = [Series("training", [r["step"] for r in history], [r["loss"] for r in history])]
    caption = "Loss over the steps."
    if held:
        series.append(Series("held out", [r["step"] for r in held], [r["validation_loss"] for r in held]))
        caption += f" The checkpoint has the weights of step {training.kept_step:,}."
    marks = len(history) < 40 or len(held) == 1
    drawn = line(series, x="step", y="nats", references=references, marks=marks)
    page.figures(Figure(drawn, caption))
