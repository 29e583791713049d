"""Norms after the layers need a warm-up, norms before them don't: deep Transformers that learn to copy.

    python recipes/warm_up.py --out DIR [--layers 6] [--steps 150] [--rate 0.002] [--seeds 1]

Four runs a seed, on the same batches: norms after or before the layers, Adam's rate with a warm-up over a
fifth of the steps or at its peak from the first (both constant then). The loss of the last tenth of the
steps, in nats a symbol; ln(40) = 3.69 is knowing nothing but the lengths.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shizuku.checkpoints.run_record import json_text
from shizuku.data.pair_tokens import PairTokens, Side
from shizuku.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig, initialise
from shizuku.training.config import LoopConfig, OptimizerConfig, ScheduleConfig
from shizuku.training.loop import train
from shizuku.training.objectives import TargetToken
from shizuku.training.pair_batches import Ends, PairBatches

SYMBOLS = 40
ENDS = Ends(start=SYMBOLS, end=SYMBOLS + 1)


def measure(placement: str, warmup: float, seed: int, given: argparse.Namespace) -> float:
    """The loss in the end of one run."""
    config = EncoderDecoderConfig(
        vocab_size=SYMBOLS + 2, context=16, width=given.width, encoder_layers=given.layers,
        decoder_layers=given.layers, heads=4, ffn_width=2 * given.width, norm_placement=placement,  # type: ignore[arg-type]
        final_norm=placement == "before",
    )  # fmt: skip
    model = EncoderDecoder(config)
    initialise(model, seed)
    generator = np.random.default_rng(seed)
    rows = Side.of(generator.integers(0, SYMBOLS, (4000, 8)))
    loop = LoopConfig(
        steps=given.steps,
        seed=seed,
        save_minutes=None,
        clip=None,
        optimizer=OptimizerConfig(
            kind="adamw",
            learning_rate=given.rate,
            embedding_learning_rate=None,
            weight_decay=0.0,
            betas=(0.9, 0.98),
        ),
        schedule=ScheduleConfig(kind="constant", warmup=warmup),
    )
    source = PairBatches(PairTokens(rows, rows), ENDS, batch_tokens=given.batch_tokens, seed=seed)
    out = given.out / f"{placement}-{'warm' if warmup else 'cold'}-seed-{seed}"
    return train(model, TargetToken(), source, loop, out=out).loss


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Run, print and keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--rate", type=float, default=0.002)
    parser.add_argument("--batch-tokens", type=int, default=576)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args(arguments)
    results = []
    print("| norms | warm-up | seed | nats a symbol |\n|---|---|---|---|")
    for seed in range(given.seeds):
        for placement in ("after", "before"):
            for warmup in (0.2, 0.0):
                loss = measure(placement, warmup, seed, given)
                results.append({"norms": placement, "warm_up": warmup, "seed": seed, "loss": loss})
                print(f"| {placement} | {'yes' if warmup else 'no'} | {seed} | {loss:.3f} |", flush=True)
    (given.out / "results.json").write_text(json_text({"runs": results}), encoding="utf-8")
    return results


if __name__ == "__main__":
    main()
