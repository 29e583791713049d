"""A life that goes on from a pretrained model, stage by stage: what `shizuku life --from` runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from shizuku.life.adapting import adapt, continue_openings, score_after, score_before
from shizuku.life.corpus import gather, prepare
from shizuku.life.making import CHECKPOINT
from shizuku.life.page import REPORT, cost, duration, text_section
from shizuku.life.settings import LifeConfig
from shizuku.life.stages import Stages
from shizuku.progress import say
from shizuku.report.page import Card, Figure, Page, Sample
from shizuku.report.plots import Series, bars, line

# Shares of the whole time; training gets what is left.
SHARES = {"gather": 0.04, "clean": 0.02, "before": 0.11, "after": 0.12, "sample": 0.08, "report": 0.02}
SAFETY = 0.9


def continue_life(config: LifeConfig, stages: Stages) -> dict[str, object]:
    """Gather text, score the base, train an adapter, score it, and say what came of it."""
    total = 60.0 * config.minutes
    budget = {name: share * total for name, share in SHARES.items()}
    data = config.out / "data"
    gathered = stages.run("gather", budget["gather"], lambda: gather(config, data))
    cleaned = stages.run(
        "clean",
        budget["clean"],
        lambda: prepare(
            config.text, data, heldout_bytes=int(config.heldout_megabytes * 1e6), seed=config.seed
        ),
    )
    before = stages.run(
        "before", budget["before"], lambda: score_before(config, seconds=SAFETY * budget["before"])
    )
    rest = sum(budget[name] for name in ("after", "sample", "report"))
    seconds = max(total - stages.elapsed - rest, 1.0)
    trained = stages.run("train", seconds, lambda: adapt(config, seconds=SAFETY * seconds))
    after = stages.run("after", budget["after"], lambda: score_after(config, before))
    samples = stages.run("sample", budget["sample"], lambda: continue_openings(config))
    facts = {
        "gather": gathered,
        "clean": cleaned,
        "before": before,
        "train": trained,
        "after": after,
        "sample": samples,
    }
    page = stages.run("report", budget["report"], lambda: write_page(config, facts, stages.times))
    say(f"done in {stages.elapsed:.0f} s of {total:.0f} s")
    return {
        "checkpoint": trained["checkpoint"],
        "base": config.pretrained,
        "seconds": stages.elapsed,
        "parameters": trained["parameters"],
        "trained_parameters": trained["trained_parameters"],
        "tokens_seen": trained["tokens_seen"],
        "tokens_per_second": trained["tokens_per_second"],
        "flops": trained["flops"],
        "bits_per_byte": {
            "model": after["bits_per_byte"]["mean"],
            "before": before["bits_per_byte"]["mean"],
        },
        "intervals": {
            "model": _ends(after["bits_per_byte"]),
            "before": _ends(before["bits_per_byte"]),
            "change": _ends(after["change"]),
        },
        "heldout_bytes": after["bytes"],
        "overlap": cleaned["overlap"],
        "sample": samples["first"],
        "report": page["report"],
    }


def write_page(
    config: LifeConfig, facts: Mapping[str, Any], times: Sequence[tuple[str, float, float]]
) -> dict[str, Any]:
    """Write `report.html` from the stages' results and times."""
    before, after, trained = facts["before"], facts["after"], facts["train"]
    page = Page(
        f"{config.pretrained}, adapted in " + duration(sum(seconds for _, _, seconds in times)),
        f"An adapter of {trained['trained_parameters']:,} parameters on a base of {trained['parameters']:,}, "
        f"trained on {trained['tokens_seen']:,} of {trained['text_tokens']:,} tokens; seed {config.seed}.",
    )
    page.cards(
        [
            _card("bits per byte before", before["bits_per_byte"]),
            _card("bits per byte after", after["bits_per_byte"]),
            _card("change", after["change"], ":+.3f"),
        ]
    )  # fmt: skip
    page.section(
        "What it learned",
        f"Both scored the same {len(after['pieces'])} of {before['of']} held-out pieces ({after['bytes']:,} "
        "bytes). Intervals are of 95 %, over pieces redrawn; another seed of training is not in them.",
    )
    history = [record for record in trained["history"] if "loss" in record]
    curve = Series("training", [r["tokens"] for r in history], [r["loss"] for r in history])
    page.figures(
        Figure(line([curve], x="tokens", y="loss (nats a token)"), "Loss while the adapter was trained."),
        Figure(
            bars(
                {"before": before["bits_per_byte"]["mean"], "after": after["bits_per_byte"]["mean"]},
                x="bits per byte (lower is better)", highlight="after", number_format="{:.3f}",
            ),
            "Held-out documents, before and after.",
        ),
    )  # fmt: skip
    page.section("What it writes", "The most probable continuations of held-out beginnings.")
    for one in facts["sample"]["samples"]:
        page.samples(
            Sample(text=one["base"] + "  (before)", prompt=one["prompt"]),
            Sample(text=one["adapted"] + "  (after)", prompt=one["prompt"]),
        )
    text_section(page, facts)
    cost(page, config, facts, times)
    model = config.out / CHECKPOINT
    page.section("Go on", "The adapter is a PEFT directory that names its base.")
    page.commands(
        f"shizuku chat {model}", f'shizuku generate {model} --prompt "…"',
        f"shizuku merge {model} --out merged",
    )  # fmt: skip
    return {"report": str(page.write(config.out / REPORT))}


def _ends(estimate: Mapping[str, float]) -> list[float]:
    return [estimate["low"], estimate["high"]]


def _card(label: str, estimate: Mapping[str, float], form: str = ":.3f") -> Card:
    mean, low, high = (f"{{{form}}}".format(estimate[key]) for key in ("mean", "low", "high"))
    return Card(label, mean, f"{low} to {high}")
