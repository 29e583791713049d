"""What OMP_WAIT_POLICY=PASSIVE does to training speed, on an idle machine and beside other work.

    python benchmarks/busy_machine.py

Interleaves the two settings, each in its own process, and prints the median of three and their ratio.
"""

import os
import statistics
import subprocess
import sys

MEASURE = """
from shizuku.models.decoder import DecoderConfig
from shizuku.training.speed import measure_speed
config = DecoderConfig(vocab_size=4096, context=256, width=128, layers=4, heads=4, ffn_width=352)
print(measure_speed(config, batch=16, context=256, seconds=3))
"""
BUSY = "while True: pass"


def speed(policy: str | None) -> float:
    """Tokens a second of training a 4x128 model, in a fresh process."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    if policy is not None:
        environment["OMP_WAIT_POLICY"] = policy
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], env=environment, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> None:
    """Print one Markdown row for each number of busy processes."""
    print("| busy processes | default, tokens/s | passive, tokens/s | ratio |")
    print("|---|---|---|---|")
    for others in (0, 1, 2):
        busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(others)]
        try:
            pairs = [(speed(None), speed("PASSIVE")) for _ in range(3)]
        finally:
            for process in busy:
                process.kill()
        default, passive = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"| {others} | {default:,.0f} | {passive:,.0f} | {passive / default:.2f} |", flush=True)


if __name__ == "__main__":
    main()
