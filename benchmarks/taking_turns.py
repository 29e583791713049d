"""Sides of a benchmark as processes that work by turns, so that a change of the machine's clock meets all.

A side is the benchmark's own file, started again with `--side NAME`; it works whenever it is sent a line, and
answers each with a line of JSON.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping

Answer = dict[str, float]


def start(side: str, *more: str, **environment: str) -> "subprocess.Popen[str]":
    """One side as a process, with the flags of this one and `more`."""
    command = [sys.executable, *sys.argv, "--side", side, *more]
    around = {**os.environ, "GOMP_SPINCOUNT": "10000", "HF_HUB_OFFLINE": "1", **environment}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=around, start_new_session=True
    )


def ask(process: "subprocess.Popen[str]") -> Answer:
    """Let a side work, and take its answer."""
    assert process.stdin is not None and process.stdout is not None, "sides are started with pipes"
    process.stdin.write("go\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a side ended: its message is above")
    answer: Answer = json.loads(line)
    return answer


def turns(
    sides: Mapping[str, "subprocess.Popen[str]"], rounds: int, *, minutes: float
) -> dict[str, list[Answer]]:
    """What each side answers in so many rounds, one after the other in each; fewer where time runs out."""
    answers: dict[str, list[Answer]] = {side: [] for side in sides}
    begun = time.monotonic()
    for done in range(rounds):
        if done and (time.monotonic() - begun) * (done + 1) / done > 60 * minutes:
            print(f"time is over after {done} of {rounds} rounds", file=sys.stderr)
            break
        for side, process in sides.items():
            answers[side].append(ask(process))
            print(side, answers[side][-1], file=sys.stderr)
    return answers


def end(processes: Iterable["subprocess.Popen[str]"]) -> None:
    """End the sides wherever they are."""
    for process in processes:
        process.kill()
        process.communicate()


def medians(answers: Iterable[Answer]) -> Answer:
    """The median of each figure over the turns."""
    listed = list(answers)
    return {key: statistics.median(answer[key] for answer in listed) for key in listed[0]}


def ratio_line(ours: Iterable[float], theirs: Iterable[float], what: str) -> str:
    """How many times as fast, round by round, and the median of it."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    rounds = " ".join(f"{ratio:.2f}" for ratio in ratios)
    return f"ratio in {what}, median {statistics.median(ratios):.3f}; rounds {rounds}"


def per(answers: Iterable[Answer], what: str, clock: str) -> list[float]:
    """A figure for each second of a clock, turn by turn."""
    return [answer[what] / answer[clock] for answer in answers]


class Turns:
    """What a side does between its loop's steps: answers after every so many, and waits to be asked again."""

    def __init__(self, steps: int, warm_up: int) -> None:
        self.steps, self._left = steps, warm_up
        self._warming = True
        self._counted: Answer = {}
        self._answers = sys.stdout
        sys.stdout = sys.stderr  # what libraries print must not stand among the answers

    def say(self, answer: Answer) -> None:
        """Wait for a line, and answer it."""
        self._wait()
        print(json.dumps(answer), file=self._answers, flush=True)

    def count(self, **figures: float) -> None:
        """Add to what is counted in this turn."""
        for name, value in figures.items():
            self._counted[name] = self._counted.get(name, 0.0) + value

    def after_step(self) -> None:
        """At the end of a turn: answer what was counted, and the seconds, and wait."""
        self._left -= 1
        if self._left:
            return
        if not self._warming:
            seconds = time.perf_counter() - self._begun
            answer = {
                **self._counted, "seconds": seconds, "processor_seconds": time.process_time() - self._used,
                "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }  # fmt: skip
            print(json.dumps(answer), file=self._answers, flush=True)
        self._wait()
        self._counted, self._left, self._warming = {}, self.steps, False
        self._begun, self._used = time.perf_counter(), time.process_time()

    @staticmethod
    def _wait() -> None:
        if not sys.stdin.readline():
            raise SystemExit
