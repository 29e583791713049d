"""The translation models on their yardstick: BLEU on Multi30k's validation sentences, over seeds and time.

    python recipes/yardstick_translation.py --data FOLDER --out DIR [--models attention transformer …]
        [--seeds 0 1 2] [--minutes 10] [--long 45] [--docs docs/yardstick.md]

Each model is trained by `translation.py` (German to English, one vocabulary, about as many parameters) on
every seed for --minutes, and on the first for --long, which 0 leaves out; a run is a line of DIR/runs.jsonl,
and what stands there is not made again. --report-only makes no runs.
"""

import argparse
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from translation import MODELS, run

from shizuku.progress import say
from shizuku.report.ledger import Ledger
from shizuku.report.markdown import table, write_section
from shizuku.report.plots import bars
from shizuku.training.seeds import Interval

ON_EQUAL_TERMS = ["no-attention", "attention", "transformer"]
PICTURE = "yardstick-translation.svg"


def missing(given: Namespace, ledger: Ledger) -> Iterator[dict[str, Any]]:
    """The runs that are asked for and not there: short ones seed by seed, then the long ones."""
    plan = [(seed, given.minutes) for seed in given.seeds]
    plan += [(given.seeds[0], given.long)] if given.long else []
    for seed, minutes in plan:
        for model in given.models:
            key = {"model": model, "seed": seed, "minutes": minutes}
            if key not in ledger:
                yield key


def report(ledger: Ledger, given: Namespace) -> str:
    """The table, and beside the ledger the plot, of all runs that there are."""
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for key, figures in ledger:
        groups.setdefault((key["model"], key["minutes"]), []).append(figures)
    rows, heights = [], {}
    for (model, minutes), found in groups.items():
        bleu = Interval.of([one["bleu"] for one in found])
        loss = Interval.of([one["validation_loss"] for one in found])
        half = f" ± {bleu.high - bleu.mean:.2f}" if len(found) > 1 else ""
        rows.append((bleu.mean, [
            model, f"{found[0]['parameters']:,}", f"{minutes:g}", str(len(found)),
            ", ".join(f"{one['steps']:,}" for one in found), f"{loss.mean:.3f}", f"{bleu.mean:.2f}{half}",
        ]))  # fmt: skip
        heights[f"{model}, {minutes:g} min"] = bleu.mean
    if not rows:
        return ""
    ordered = dict(sorted(heights.items(), key=lambda item: -item[1]))
    plot = bars(ordered, x="BLEU, Multi30k validation, German to English", number_format="{:.1f}")
    (given.out / PICTURE).write_text(plot, encoding="utf-8")
    headings = ("model", "parameters", "minutes", "seeds", "steps", "nats a token", "BLEU")
    written = table(headings, [cells for _, cells in sorted(rows, key=lambda row: -row[0])])
    signatures = sorted({figures["signature"] for _, figures in ledger})
    return f"{written}\n\nsacrebleu: `{'`, `'.join(signatures)}`\n\n![BLEU by model]({PICTURE})\n"


def main(arguments: list[str] | None = None) -> str:
    """Make the runs that are missing, write table and plot; returns the Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=ON_EQUAL_TERMS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--long", type=float, default=45.0, help="minutes of one more run of the first seed")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--report-only", action="store_true", help="make table and plot of what is there")
    parser.add_argument("--docs", type=Path, help="the document whose section `translation` is to be written")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(given.out / "runs.jsonl")
    for key in () if given.report_only else missing(given, ledger):
        say(f"{key['model']}, seed {key['seed']}, {key['minutes']:g} minutes")
        how = Namespace(
            data=given.data, out=given.out / f"{key['minutes']:g}", minutes=key["minutes"], every=100,
            threads=given.threads, evaluate=True,
        )  # fmt: skip
        figures = run(key["model"], key["seed"], how)
        assert figures is not None, "evaluation was asked for"
        ledger.add(key, figures)
    markdown = report(ledger, given)
    (given.out / "yardstick.md").write_text(markdown, encoding="utf-8")
    if given.docs is not None:
        write_section(given.docs, "translation", markdown)
        if markdown:
            (given.docs.parent / PICTURE).write_bytes((given.out / PICTURE).read_bytes())
    print(markdown)
    return markdown


if __name__ == "__main__":
    main()
