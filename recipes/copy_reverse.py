"""Copying and reversing beyond the lengths of training: what attention is for.

    python recipes/copy_reverse.py --out DIR [--tasks copy reverse] [--models additive none] [--seeds 3]
        [--steps 3000] [--length 20] [--rows 300000] [--width 96]

A sentence is a row of different symbols out of 60 in random order, its target the same row, or that row from
its end. Trained on rows of 1 to --length symbols, each seen about once, tested on 200 rows of --length and of
twice as many: the share of symbols that stand where they should, with greedy decoding. Both models are LSTMs
of the same width; one looks at the source at each step, the other knows it by its last state alone.

All three of rows of some length, symbols that don't repeat, and new rows all the time are needed: on short
rows it is easier to count places, which ends where training ended; where a symbol may repeat, the one written
last does not say where one stands; and few rows are learned by heart (docs/lab-notes.md).
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

SYMBOLS = 60
ENDS = Ends(start=SYMBOLS, end=SYMBOLS + 1)


def rows(count: int, shortest: int, longest: int, seed: int) -> list[list[int]]:
    """Random rows of different symbols."""
    generator = np.random.default_rng([seed, shortest, longest])
    lengths = generator.integers(shortest, longest + 1, count)
    return [generator.permutation(SYMBOLS)[:length].tolist() for length in lengths]


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
        vocab_size=SYMBOLS + 2, context=4 * given.length, width=given.width,
        embedding_width=given.width,
        layers=1, attention=attention, attention_width=given.width,  # type: ignore[arg-type]
        # Without attention the last symbol read is the first to be written or the last, whichever is nearer.
        bidirectional=attention != "none", reversed_source=attention == "none" and task == "copy",
    )  # fmt: skip
    model = LSTMSeq2Seq(config)
    initialise(model, seed)
    learned = rows(given.rows, 1, given.length, seed)
    pairs = PairTokens(Side.of(learned), Side.of(target_of(task, row) for row in learned))
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
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--length", type=int, default=20)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--rate", type=float, default=0.04, help="of Muon")
    given = parser.parse_args(arguments)
    if not 1 <= given.length <= SYMBOLS // 2:
        parser.error(
            f"--length {given.length}: expected 1 to {SYMBOLS // 2}, as rows of twice that are asked"
        )
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
