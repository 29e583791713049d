"""How far a life gets: bits per byte beside its baselines, for several texts, budgets and seeds.

    python benchmarks/life.py --text town --minutes 5 --seeds 0 1 2
    python benchmarks/life.py --text python --minutes 5 60
    python benchmarks/life.py --text FILE --minutes 5 60

Prints one Markdown row a run, as `docs/benchmarks.md` has them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HEADER = (
    "text", "minutes", "seed", "seconds", "parameters", "tokens",
    "model", "order-5", "primed xz", "xz", "held-out bytes",
)  # fmt: skip
COLUMNS = ("model", "ngram", "xz_primed", "xz")


def main() -> None:
    """Run the lives one after the other and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", nargs="+", default=["town"])
    parser.add_argument("--minutes", nargs="+", type=float, default=[5.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--keep", type=Path, help="folder to keep the lives in")
    arguments = parser.parse_args()
    print("| " + " | ".join(HEADER) + " |")
    print("|---" * len(HEADER) + "|")
    for minutes in arguments.minutes:
        for seed in arguments.seeds:
            print(row(arguments.text, minutes, seed, arguments.keep), flush=True)


def row(text: list[str], minutes: float, seed: int, keep: Path | None) -> str:
    """One life as a row of the table."""
    name = Path(text[0]).name
    with tempfile.TemporaryDirectory() as temporary:
        out = (keep or Path(temporary)) / f"life-{name}-{minutes:g}-{seed}"
        command = [sys.executable, "-m", "shizuku", "life", "--text", *text, "--minutes", str(minutes)]
        command += ["--seed", str(seed), "--out", str(out), "--json"]
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    bits = " | ".join(f"{result['bits_per_byte'][column]:.3f}" for column in COLUMNS)
    shown = (
        f"| {name} | {minutes:g} | {seed} | {result['seconds']:.0f} | {result['parameters']:,} | "
        f"{result['tokens_seen']:,} | {bits} | {result['heldout_bytes']:,} |"
    )


if __name__ == "__main__":
    main()
