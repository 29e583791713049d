"""What the waiting of OpenMP's threads does to training speed, on an idle machine and beside other work.

    python benchmarks/busy_machine.py

Three ways to wait: PyTorch's default (spin for long), GOMP_SPINCOUNT=10000 (spin for some microseconds, which
the command line sets), OMP_WAIT_POLICY=PASSIVE (sleep at once). They take turns, each in a process of its
own; prints medians of three rounds.
"""

import os
import statistics
import subprocess
import sys

MEASURE = """
from shizuku.models.decoder import DecoderConfig
from shizuku.training.speed import measure_speed
config = DecoderConfig(vocab_size=4096, context=128, width=64, layers=3, heads=2, ffn_width=192)
print(measure_speed(config, batch=16, context=128, seconds=3))
"""
BUSY = "while True: pass"
WAYS: dict[str, dict[str, str]] = {
    "default": {},
    "short spin": {"GOMP_SPINCOUNT": "10000"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
}


def speed(way: dict[str, str]) -> float:
    """Tokens a second of training a 3x64 model, in a fresh process."""
    kept = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], env={**kept, **way}, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> None:
    """Print one Markdown row for each number of busy processes."""
    print("| busy processes | " + " | ".join(f"{name}, tokens/s" for name in WAYS) + " |")
    print("|---" * (1 + len(WAYS)) + "|")
    for others in (0, 1, 2):
        busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(others)]
        try:
            rounds = [[speed(way) for way in WAYS.values()] for _ in range(3)]
        finally:
            for process in busy:
                process.kill()
        medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
        print(f"| {others} | " + " | ".join(f"{value:,.0f}" for value in medians) + " |", flush=True)


if __name__ == "__main__":
    main()
