"""Benchmarks by turns: what sides count between two lines, and what the medians are taken over."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SCRIPT = """
import argparse, sys
sys.path.insert(0, {folder!r})
from taking_turns import Turns, ask, end, medians, per, ratio_line, start, turns

parser = argparse.ArgumentParser()
parser.add_argument("--side")
side = parser.parse_args().side
if side:
    taking = Turns(steps=3, warm_up=2)
    print("noise of a library")
    taking.say({{"loss": 1.5}})
    while True:
        taking.count(things=2 if side == "one" else 4)
        taking.after_step()
sides = {{name: start(name) for name in ("one", "two")}}
try:
    assert [ask(side) for side in sides.values()] == [{{"loss": 1.5}}] * 2
    answers = turns(sides, 5, minutes=1)
finally:
    end(sides.values())
assert all(side.poll() is not None for side in sides.values())
assert [answer["things"] for answer in answers["one"]] == [6] * 5  # steps of the warm-up don't count
assert all(answer["seconds"] > 0 and answer["peak_bytes"] > 1e6 for answer in answers["two"])
assert medians(answers["two"])["things"] == 12
assert per([{{"a": 6, "s": 2}}], "a", "s") == [3]
print(ratio_line([2, 3, 8], [1, 1, 2], "things"))
"""


def test_sides_take_turns(tmp_path: Path) -> None:
    script = tmp_path / "toy.py"
    script.write_text(SCRIPT.format(folder=str(BENCHMARKS)), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ratio in things, median 3.000; rounds 2.00 3.00 4.00\n"
