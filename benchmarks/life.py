"""How far a life gets: bits per byte beside its baselines, for several texts, budgets and seeds.

    python benchmarks/life.py --text town --minutes 5 --seeds 0 1 2
    python benchmarks/life.py --text python --minutes 5 60
    python benchmarks/life.py --text FILE --minutes 5 60

Prints one Markdown row a run, as `docs/benchmarks.md` has them, and for the town, whose answers can be
marked, a second table. With --keep the lives stay, each with its report.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HEADER = (
    "text", "minutes", "seed", "seconds", "parameters", "tokens",
    "model", "order-5", "primed xz", "xz", "held-out bytes",
)  # fmt: skip
COLUMNS = ("model", "ngram", "xz_primed", "xz")
ASKED = (
    "seed", "facts taught", "questions", "sums", "look-ups in other words", "yes or no", "unasked facts",
    "end by themselves", "invented, of all", "base, before", "bits per byte of the base",
)  # fmt: skip
EXAMINATIONS = ("sums", "rephrased", "yes or no", "unasked")


def main() -> None:
    """Run the lives one after the other and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", nargs="+", default=["town"])
    parser.add_argument("--minutes", nargs="+", type=float, default=[5.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--keep", type=Path, help="folder to keep the lives in")
    arguments = parser.parse_args()
    print_head(HEADER)
    second = []
    for minutes in arguments.minutes:
        for seed in arguments.seeds:
            result, stages = live(arguments.text, minutes, seed, arguments.keep)
            print(row(arguments.text, minutes, seed, result), flush=True)
            if "facts_taught" in result["answers"]:
                second.append(answered(seed, result["answers"], stages))
    if second:
        print()
        print_head(ASKED)
        print("\n".join(second))


def print_head(columns: tuple[str, ...]) -> None:
    """The first two lines of a Markdown table."""
    print("| " + " | ".join(columns) + " |")
    print("|---" * len(columns) + "|")


def live(
    text: list[str], minutes: float, seed: int, keep: Path | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Live one life; its result, and those of its stages."""
    name = Path(text[0]).name
    with tempfile.TemporaryDirectory() as temporary:
        out = (keep or Path(temporary)) / f"life-{name}-{minutes:g}-{seed}"
        command = [sys.executable, "-m", "shizuku", "life", "--text", *text, "--minutes", str(minutes)]
        command += ["--seed", str(seed), "--out", str(out), "--json"]
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        return result, json.loads((out / "life.json").read_text(encoding="utf-8"))["stages"]


def row(text: list[str], minutes: float, seed: int, result: dict[str, Any]) -> str:
    """One life as a row of the first table."""
    bits = " | ".join(f"{result['bits_per_byte'][column]:.3f}" for column in COLUMNS)
    return (
        f"| {Path(text[0]).name} | {minutes:g} | {seed} | {result['seconds']:.0f} | "
        f"{result['parameters']:,} | {result['tokens_seen']:,} | {bits} | {result['heldout_bytes']:,} |"
    )


def answered(seed: int, summary: dict[str, Any], stages: dict[str, Any]) -> str:
    """One life's examination as a row of the second table: exact by kind, and what else there is to say."""
    asked, measured = stages["ask"]["result"], stages["measure"]["result"]
    shares = [asked["examinations"][name]["exact"] for name in EXAMINATIONS]
    shares += [summary["stops"], summary["invents"], asked["base"]["exact"]]
    cells = [str(seed), f"{summary['facts_taught']:,}", f"{summary['questions']:,}"]
    cells += [f"{share:.1%}" for share in shares] + [f"{measured['base_bits_per_byte']:.3f}"]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
