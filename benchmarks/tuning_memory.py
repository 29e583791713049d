"""Peak memory of tuning: the whole model, an adapter on floats, an adapter on packed weights, and PEFT's.

    python benchmarks/tuning_memory.py smollm2-135m-instruct CONVERSATIONS [--context 256] [--rows 4]

Each side is a process of its own from start to end (imports, loading, steps, saving); what is printed is the
most memory that it ever held (ru_maxrss), its speed, and what Shizuku had estimated before it began. Rows are
packed full, all tokens count, everything is float32 without checkpointing of activations. The peer is PEFT on
transformers with the same number of rows and tokens and with torch's AdamW. Needs peft and transformers.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TUNE = (sys.executable, "-m", "shizuku", "tune")
SIDES = {
    "imports alone": [],
    "full": [],
    "LoRA": ["--lora.rank", "{rank}"],
    "QLoRA": ["--lora.rank", "{rank}", "--base", "packed"],
    "PEFT LoRA": [],
}
"""Flags of each side."""


def main() -> None:
    """Run the sides one after another and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--context", type=int, default=256, help="tokens of a row")
    parser.add_argument("--rows", type=int, default=4, help="rows of a step")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peer:
        print(json.dumps(peer(given)))
        return
    # This process stays small: a child's peak begins with that of the process it was started from.
    print("| side | peak memory | estimated | trained parameters | tokens/s |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for side in given.sides:
            words = command(given, side, Path(folder))
            peak, result = measured(words)
            estimated = estimate(words[len(TUNE) :]) if "--learn" in words else 0
            cells = (
                side,
                f"{peak / 2**20:,.0f} MiB",
                f"{estimated / 2**20:,.0f} MiB" if estimated else "",
                f"{result['trained_parameters']:,}" if "trained_parameters" in result else "",
                f"{result['tokens_per_second']:,.0f}" if "tokens_per_second" in result else "",
            )
            print("| " + " | ".join(cells) + " |", flush=True)


def command(given: argparse.Namespace, side: str, folder: Path) -> list[str]:
    """What a side runs."""
    if side == "imports alone":
        return [sys.executable, "-c", "import shizuku.tuning.tune"]
    if side == "PEFT LoRA":
        model = folder / "model"
        export = [sys.executable, "-m", "shizuku", "export", given.model, "--format", "hf", "--type", "f32"]
        subprocess.run([*export, "--out", str(model)], check=True, capture_output=True)
        return [sys.executable, *sys.argv, "--peer", str(model)]
    flags = [flag.format(rank=given.rank) for flag in SIDES[side]]
    flags += ["--data", str(given.data), "--out", str(folder / side), "--learn", "all", "--json"]
    flags += ["--context", str(given.context), "--batch-size", str(given.rows), "--steps", str(given.steps)]
    flags += ["--validation", "0", "--samples", "0", "--no-report", "--threads", str(given.threads)]
    return [*TUNE, given.model, *flags]


def estimate(flags: list[str]) -> int:
    """The bytes that a run with these flags is expected to need, asked for in a process of its own."""
    code = (
        "import sys; from shizuku import cli; from shizuku.commands.tune import Config;"
        "from shizuku.tuning.tune import prepare, rows_of; from shizuku.training.batches import peek;"
        "from shizuku.training.memory import estimate_memory;"
        "config = cli.parse(Config, 'tune', sys.argv[1:]); ready = prepare(config, write=False);"
        "batch = peek(rows_of(ready, config), 1)[0];"
        "print(estimate_memory(ready.model, config.loop, *batch.ids_BT.shape).total)"
    )
    words = [sys.executable, "-c", code, *flags]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def measured(words: list[str]) -> tuple[int, dict[str, float]]:
    """The most bytes that a process held, and the object that it printed."""
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(words, stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
        out.seek(0)
        text = out.read()
    return usage.ru_maxrss * 1024, json.loads(text) if text.strip() else {}


def peer(given: argparse.Namespace) -> dict[str, float]:
    """The same number of rows and tokens through PEFT's adapter on transformers' model, then saved."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(given.threads)
    model = AutoModelForCausalLM.from_pretrained(given.peer, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(r=given.rank, target_modules="all-linear"))
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-4)
    draw = torch.Generator().manual_seed(0)
    begun = time.perf_counter()
    for _ in range(given.steps):
        ids_BT = torch.randint(49_000, (given.rows, given.context), generator=draw)
        model(input_ids=ids_BT, labels=ids_BT).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    seconds = time.perf_counter() - begun
    model.save_pretrained(given.peer.parent / "peft")
    tokens = given.steps * given.rows * given.context
    return {
        "trained_parameters": sum(parameter.numel() for parameter in trained),
        "tokens_per_second": tokens / seconds,
    }


if __name__ == "__main__":
    main()
