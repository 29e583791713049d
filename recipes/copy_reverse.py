"""Copying and reversing beyond the lengths of training: what attention is for.

    python recipes/copy_reverse.py --out DIR [--tasks copy reverse] [--models attention none] [--seeds 1]
        [--steps 1200] [--length 10] [--blanks 15] [--width 96]

A sentence is a row of random symbols (none twice behind the same one), its target the same row, or that row
from its end. Trained on rows of 1 to --length symbols, tested on 200 rows of --length and of twice as many:
the share of symbols that stand where they should, with greedy decoding. Both models are LSTMs of the same
width; one looks at the source at each step, the other knows it by its last state alone. In training half of
the sources have blanks around their row: without them the models count places, and counting ends where
training ended.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shizuku.checkpoints.run_record import json_text
from shizuku.data.pair_tokens import PairTokens, Side
from shizuku.inference.beams import BeamSettings, search
from shizuku.models.lstm_seq2seq import LSTMSeq2Seq, LSTMSeq2SeqConfig, initialise
from shizuku.training.config import LoopConfig, OptimizerConfig, ScheduleConfig
from shizuku.training.loop import train
from shizuku.training.objectives import TargetToken
from shizuku.training.pair_batches import Ends, PairBatches

SYMBOLS = 40
ENDS = Ends(start=SYMBOLS, end=SYMBOLS + 1)
BLANK = SYMBOLS + 2


def rows(count: int, shortest: int, longest: int, seed: int) -> list[list[int]]:
    """Random rows in which no symbol stands twice behind the same one, so that each place can be told."""
    generator = np.random.default_rng([seed, shortest, longest])
    made = []
    for length in generator.integers(shortest, longest + 1, count):
        row: list[int] = []
        seen: set[tuple[int, int]] = set()
        while len(row) < length:
            symbol = int(generator.integers(SYMBOLS))
            if not row or ((row[-1], symbol) not in seen and row[-1] != symbol):
                seen |= {(row[-1], symbol)} if row else set()
                row.append(symbol)
        made.append(row)
    return made


def among_blanks(learned: list[list[int]], most: int, seed: int) -> list[list[int]]:
    """The rows, half of them with up to `most` blanks before and behind, which no target has: so that places
    can't be told by counting alone.
    """
    generator = np.random.default_rng([seed, most])
    made = []
    for row in learned:
        before, behind = generator.integers(0, most + 1, 2) * generator.integers(2)
        made.append([BLANK] * int(before) + row + [BLANK] * int(behind))
    return made


def target_of(task: str, row: list[int]) -> list[int]:
    """What is to be written."""
    return row if task == "copy" else row[::-1]


def accuracy(model: LSTMSeq2Seq, task: str, length: int, count: int, seed: int) -> float:
    """The share of symbols that stand where they should."""
    test = rows(count, length, length, seed)
    settings = BeamSettings(beams=1, max_new_tokens=length + 5)
    sources = [[*row, ENDS.end] for row in test]
    found = search(model, sources, settings, start_id=ENDS.start, end_id=ENDS.end, batch_size=200)
    right = 0
    for row, each in zip(test, found, strict=True):
        wanted = target_of(task, row)
        right += sum(one == other for one, other in zip(each[0].ids, wanted, strict=False))
    return right / (length * count)


def measure(task: str, attention: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Train one model and test it."""
    config = LSTMSeq2SeqConfig(
        vocab_size=SYMBOLS + 3, context=4 * given.length + 2 * given.blanks, width=given.width,
        embedding_width=given.width,
        layers=1, attention=attention, attention_width=given.width,  # type: ignore[arg-type]
        # Without attention the last symbol read is the first to be written or the last, whichever is nearer.
        bidirectional=attention != "none", reversed_source=attention == "none" and task == "copy",
    )  # fmt: skip
    model = LSTMSeq2Seq(config)
    initialise(model, seed)
    learned = rows(given.rows, 1, given.length, seed)
    sources = among_blanks(learned, given.blanks, seed)
    pairs = PairTokens(Side.of(sources), Side.of(target_of(task, row) for row in learned))
    loop = LoopConfig(
        steps=given.steps,
        seed=seed,
        log_every=100,
        save_minutes=None,
        optimizer=OptimizerConfig(muon_learning_rate=given.rate, weight_decay=0.0),
        schedule=ScheduleConfig(decay=0.4),
    )
    source = PairBatches(pairs, ENDS, batch_tokens=given.batch_tokens, seed=seed)
    result = train(model, TargetToken(), source, loop, out=given.out / f"{task}-{attention}-seed-{seed}")
    model.eval()
    lengths = {"trained": given.length, "twice": 2 * given.length}
    found = {name: accuracy(model, task, length, 200, 1000 + seed) for name, length in lengths.items()}
    return {"task": task, "attention": attention, "seed": seed, "loss": result.loss, **found}


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Run, print and keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=["copy", "reverse"], choices=["copy", "reverse"])
    parser.add_argument("--models", nargs="+", default=["additive", "none"], choices=["additive", "none"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--length", type=int, default=10)
    parser.add_argument("--blanks", type=int, default=15, help="blanks around a row of training at most")
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--rate", type=float, default=0.04, help="of Muon")
    given = parser.parse_args(arguments)
    results = []
    print("| task | attention | seed | loss | at trained length | at twice that |\n|---|---|---|---|---|---|")
    for seed in range(given.seeds):
        for task in given.tasks:
            for attention in given.models:
                one = measure(task, attention, seed, given)
                results.append(one)
                print(
                    f"| {task} | {attention} | {seed} | {one['loss']:.4f} | {one['trained']:.1%} "
                    f"| {one['twice']:.1%} |",
                    flush=True,
                )
    (given.out / "results.json").write_text(json_text({"runs": results}), encoding="utf-8")
    return results


if __name__ == "__main__":
    main()
