"""The loss on tiny Shakespeare that two cores reach within an hour, beside nanoGPT's 1.4697 from an A100.

    python benchmarks/hour.py TINYSHAKESPEARE.txt --out runs/hour            # three seeds, one after another
    python benchmarks/hour.py TINYSHAKESPEARE.txt --out runs/pilot --choose  # for the choice of settings

The first nine tenths of the text train, the last tenth is nanoGPT's validation split: it is read once a
seed, whole, after the last step. With `--choose` it isn't read at all: the last tenth of the training part
takes its place. A run that was stopped goes on where it was saved, so the seconds it reports are those of
its steps, added up.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from time_to_loss import split, whole_loss

PEER = 1.4697  # nanoGPT's README: 6 layers of 384, 256 characters, about 3 minutes of an A100
CONTEXT = 256
SETTINGS = {
    "--preset": "characters",
    "--vocabulary": "characters",
    "--loop.precision": "bfloat16",
    "--loop.dropout": "0.2",
    "--loop.ema": "0.99",
    "--loop.optimizer.muon-momentum": "0.95",
    "--loop.schedule.warmup": "0.02",
    "--loop.save-minutes": "5",
    "--model.context": str(CONTEXT),
    "--model.width": "256",
    "--model.layers": "6",
    "--model.heads": "4",
    "--model.ffn-width": "1024",
    "--batch-size": "16",
}


def main() -> None:
    """Train what isn't trained yet, measure each seed once, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--choose", action="store_true")
    arguments = parser.parse_args()
    train, held_out = split(arguments.text)
    if arguments.choose:
        border = int(0.9 * len(train))
        train, held_out = train[:border], train[border:]
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = arguments.out / "train.txt"
    text.write_text(train, encoding="utf-8")
    losses = []
    print("| seed | steps | minutes | tokens/s | loss on the whole split |\n|---|---|---|---|---|")
    for seed in range(arguments.seeds):
        result = one_seed(arguments, text, held_out, seed)
        losses.append(result["loss"])
        print(
            f"| {seed} | {arguments.steps:,} | {result['seconds'] / 60:.1f} | "
            f"{result['tokens_per_second']:,.0f} | {result['loss']:.4f} |",
            flush=True,
        )
    print(f"median {statistics.median(losses):.4f}; nanoGPT on an A100: {PEER}")


def one_seed(arguments: argparse.Namespace, text: Path, held_out: str, seed: int) -> dict[str, float]:
    """The seed's result, read from its file if it was measured before."""
    kept = arguments.out / f"seed-{seed}.json"
    if kept.exists():
        found: dict[str, float] = json.loads(kept.read_text())
        return found
    out = arguments.out / f"seed-{seed}"
    command = [sys.executable, "-m", "shizuku", "train", "--text", str(text), "--out", str(out)]
    command += [part for pair in SETTINGS.items() for part in pair]
    command += ["--no-boundaries", "--steps", str(arguments.steps), "--seed", str(seed), "--json"]
    command += ["--threads", str(arguments.threads)]
    if (out / "state").exists():
        command.append("--resume")
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    report = json.loads(run.stdout)
    result = {
        "seconds": report["seconds"],
        "tokens_per_second": report["tokens_per_second"],
        "loss": measure(out, held_out, arguments.threads),
    }
    kept.write_text(json.dumps(result))
    return result


def measure(checkpoint: Path, held_out: str, threads: int) -> float:
    """Nats a character over the whole text, in rows of the model's context."""
    import torch

    from shizuku.checkpoints.directory import load_checkpoint

    torch.set_num_threads(threads)
    found = load_checkpoint(checkpoint)
    assert found.tokenizer is not None
    ids = found.tokenizer.encode(held_out)
    assert len(ids) == len(held_out), "one token a character"
    return whole_loss(found.model, torch.tensor(ids), CONTEXT)


if __name__ == "__main__":
    main()
