"""From the start of a process to a tokenizer and packed weights: wall and processor time of every stage.

    python benchmarks/startup.py smollm2-135m-instruct --runs 12
    python benchmarks/startup.py smollm2-135m-instruct --runs 12 --against OTHER_CHECKOUT/src
    python benchmarks/startup.py smollm2-135m-instruct --runs 5 --torch

Each run is a process of its own, from a warm file cache; runs of several checkouts alternate. A table has the
least and the median of each stage in milliseconds. The processor time is the sum over all threads, and what
to compare on a machine that does other things too. `--torch` opens with `load_checkpoint` instead.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

STAGES = ("python", "imports", "resolve", "open", "chat", "first piece", "all")
RUN = """
import json, sys, time
started, spent = time.perf_counter(), time.process_time()
marks = [(started - (time.time() - float(sys.argv[3])), 0.0), (started, spent)]
def mark():
    marks.append((time.perf_counter(), time.process_time()))
from shizuku.checkpoints.names import resolve
if sys.argv[2] == "torch":
    from shizuku.checkpoints.directory import load_checkpoint as open_checkpoint
else:
    from shizuku.checkpoints.packed import open_packed as open_checkpoint
mark()
path = resolve(sys.argv[1], allow_pull=False)
mark()
tokenizer = open_checkpoint(path).tokenizer
mark()
tokenizer.vocab_size, tokenizer.stop_ids
message = [{"role": "user", "content": "Hello"}]
ids = tokenizer.encode_chat(message) if tokenizer.chat_template else tokenizer.encode("Hello")
mark()
tokenizer.decode(tokenizer.encode(" town"))
mark()
stages = [[b - a for a, b in zip(one, other)] for one, other in zip(marks, marks[1:])]
print(json.dumps([*stages, [sum(stage[0] for stage in stages), marks[-1][1]]]))
"""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--against", type=Path, action="append", default=[])
    parser.add_argument("--torch", action="store_true")
    given = parser.parse_args()
    here = Path(__file__).resolve().parents[1] / "src"
    seen: dict[Path, list[list[list[float]]]] = {here: []} | {path: [] for path in given.against}
    for _ in range(given.runs):
        for source, runs in seen.items():
            runs.append(one_run(source, given.model, torch=given.torch))
    for source, runs in seen.items():
        print(f"\n{source}, {given.runs} runs\n")
        print("| stage | wall least | median | processor least | median |\n|---|---|---|---|---|")
        for number, stage in enumerate(STAGES):
            columns = [[1000 * run[number][clock] for run in runs] for clock in (0, 1)]
            cells = [f"{pick(column):.1f}" for column in columns for pick in (min, statistics.median)]
            print(f"| {stage} | {' | '.join(cells)} |")


def one_run(source: Path, model: str, *, torch: bool) -> list[list[float]]:
    """Wall and processor seconds of each stage in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, model, "torch" if torch else "packed", str(time.time())],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
    )
    stages: list[list[float]] = json.loads(done.stdout)
    return stages


if __name__ == "__main__":
    main()
