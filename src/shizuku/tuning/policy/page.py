"""The report of a PPO or GRPO run: reward, divergence and all diagnostics over the rounds, and answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shizuku.report.page import Card, Figure, Page, Sample
from shizuku.report.plots import Series, line
from shizuku.training.result import TrainResult
from shizuku.tuning.align_config import AlignConfig

if TYPE_CHECKING:
    from shizuku.tuning.policy.run import Judged, Prepared

PLOTS: tuple[tuple[str, dict[str, str], str], ...] = (
    ("reward",
     {"reward": "rollout/reward", "gold": "rollout/gold", "less divergence": "rollout/reward_less_kl"},
     "Mean reward of a round's answers; gold is recorded and not learned from."),
    ("nats", {"k1": "rollout/kl", "k3": "rollout/kl_k3"},
     "Divergence from the reference, an answer, by two estimates; k1 can be negative by chance."),
    ("cost", {"a nat": "rollout/kl_cost"}, "What a nat of divergence costs."),
    ("tokens", {"length": "rollout/length"}, "Mean length of the answers."),
    ("share", {"ended": "rollout/ended", "equal groups": "rollout/equal_groups"},
     "Answers that ended by themselves; with GRPO also groups whose answers are all worth the same."),
    ("ratio", {"mean": "ratio/mean", "largest": "ratio/max"},
     "New to old probability of the tokens of a step."),
    ("variance", {"ratio": "ratio/variance"}, "Variance of that ratio."),
    ("share", {"clipped": "ratio/clipped"}, "Tokens whose ratio left the range that counts."),
    ("nats", {"entropy": "entropy"}, "Entropy of the policy, a token."),
    ("share", {"explained": "rollout/value_explained"},
     "Share of the returns' variance that the value model foresaw."),
    ("loss", {"policy": "term/policy", "value": "term/value", "divergence": "term/kl"}, "Terms of the loss."),
    ("norm", {"gradient": "grad_norm"}, "Norm of the gradient before clipping."),
)  # fmt: skip
"""Unit, curves and caption of each plot; curves that a run does not have are left out."""


def write_page(
    path: Path,
    config: AlignConfig,
    ready: "Prepared",
    training: TrainResult,
    judged: "tuple[Judged | None, Judged | None]",
) -> Path:
    """Write the report and return its path."""
    before, after = judged
    method, history = config.method.upper(), training.history
    page = Page(f"{config.model}, aligned by {method}", f"{len(ready.task.prompts):,} prompts, {config.out}")
    page.cards(_cards(history, training, before, after))
    page.section(
        "Training", "Figures of answers are those of a round, figures of ratios and losses those of a step."
    )
    page.figures(*diagnostics(history))
    page.section("Data", "What was answered.")
    page.facts({name: value for name, value in ready.data.items() if not isinstance(value, dict)})
    for reason in ready.skipped.splitlines():
        page.text(f"{reason[0].upper()}{reason[1:]}.")
    if after is not None and before is not None:
        _answers(page, ready, before, after)
    return page.write(path)


def diagnostics(history: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Plots of all that the log says, those of answers with one point a round."""
    ends = {record.get("round"): record for record in history}
    rounds = list(ends.values())
    figures = []
    for unit, curves, caption in PLOTS:
        series = []
        for label, key in curves.items():
            records = rounds if key.startswith("rollout/") else list(history)
            records = [record for record in records if key in record]
            if records:
                xs, ys = [record["step"] for record in records], [record[key] for record in records]
                series.append(Series(label, xs, ys))
        if series:
            figures.append(Figure(line(series, x="step", y=unit, marks=len(series[0].x) < 40), caption))
    return figures


def _cards(
    history: Sequence[Mapping[str, Any]],
    training: TrainResult,
    before: "Judged | None",
    after: "Judged | None",
) -> list[Card]:
    last = history[-1] if history else {}
    cards = []
    if before is not None and after is not None:
        was, now = before.figures, after.figures
        cards.append(
            Card(
                "Held-out reward",
                f"{now['rollout/reward']:.3f}",
                f"before {was['rollout/reward']:.3f}; {len(after.texts)} answers",
            )
        )
        cards.append(
            Card(
                "Divergence",
                f"{now['rollout/kl']:.2f} nats",
                f"an answer, standard error {now['rollout/kl_error']:.2f}",
            )
        )
        cards.append(
            Card("Ends by itself", f"{now['rollout/ended']:.0%}", f"before {was['rollout/ended']:.0%}")
        )
    cards.append(Card("Time", f"{training.seconds:,.0f} s", f"{int(last.get('round', 0)):,} rounds"))
    return cards


def _answers(page: Page, ready: "Prepared", before: "Judged", after: "Judged") -> None:
    page.section("Answers", "Held-out prompts, answered by the same draws before and after.")
    for number, prompt in enumerate(ready.heldout):
        page.heading(_asked(prompt.text))
        samples = [
            Sample(side.texts[number] or "(nothing)", label=f"{label}, reward {side.rewards[number]:.3f}")
            for label, side in (("before", before), ("after", after))
        ]
        page.samples(*samples)


def _asked(text: Any) -> str:
    words = " ".join(str(text if isinstance(text, str) else text[-1]["content"]).split())
    return words if len(words) <= 160 else f"{words[:159]}…"
