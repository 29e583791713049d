"""LoRA on a float model beside QLoRA on the same model in 4 bits, and what merging each of them changes.

    python recipes/qlora.py --out DIR [--seeds 3] [--first-seed 0] [--megabytes 4] [--base-steps 300]
        [--steps 120] [--preset micro] [--rank 8] [--rate 0.002]

For each seed a base is trained on the town's English stories, letters, notices, entries and instructions;
adapters are then trained to continue its talks and its sums, which the base has not read, on the float base
and on its 4-bit versions (rounded to nearest, GPTQ, codebooks). All see the same conversations in the same
order, and are judged on the same held-out ones. Prints a line for each run and a Markdown table of means.
What is finished in --out is taken as it is, so that a run that was broken off goes on.
"""

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from shizuku.adapters.config import AdapterConfig
from shizuku.checkpoints.directory import load_checkpoint, resolve, run_record, save_checkpoint
from shizuku.checkpoints.merging import merge_adapter
from shizuku.commands.quantization_text import texts_for
from shizuku.commands.quantize import Config as QuantizeConfig
from shizuku.data.town.write import town_documents
from shizuku.quantization.scheme import SCHEMES
from shizuku.quantization.surgery import matrices
from shizuku.quantization.whole import quantize_model
from shizuku.training.config import LoopConfig, TrainConfig
from shizuku.training.evaluation import evaluate
from shizuku.training.from_text import train_on_text
from shizuku.training.objectives import NextToken
from shizuku.tuning.config import BaseKind, TuneConfig, tuning_loop
from shizuku.tuning.rows import HeldoutRows
from shizuku.tuning.tune import prepare, tune

NEW = ("dialogue", "arithmetic")
"""Registers that the base has not read."""
BASES: dict[str, tuple[str, BaseKind]] = {
    "LoRA, float": ("base", "float"),
    "QLoRA, int4": ("base", "int4"),
    "QLoRA, gptq4": ("gptq4", "packed"),
    "QLoRA, codebook4": ("base", "codebook4"),
}
"""The model's folder and --base of each run."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one run came to."""

    before: float
    """Held-out loss before tuning, nats a learned token."""
    loss: float
    """And after it."""
    own: float
    """Largest change of a logit by merging into the (dequantised) base that the adapter was trained on."""
    original: float
    """The same by merging into the float model that the base was made of; 0 where they are one."""
    divergence: float
    """And how far the predictions are then from those that were tuned, in nats a token."""


def write_data(folder: Path, megabytes: float, seed: int) -> None:
    """base.jsonl with texts and chats.jsonl with conversations, of one town."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = [one for one in town_documents(megabytes=megabytes, seed=seed) if one.language == "en"]
    old = ({"text": one.text} for one in documents if one.register not in NEW)
    _write(folder / "base.jsonl", old)
    new = (_conversation(one.text) for one in documents if one.register in NEW)
    _write(folder / "chats.jsonl", new)


def _conversation(text: str) -> dict[str, object]:
    """The first half of the lines is what is asked to be continued."""
    lines = text.splitlines()
    half = max(1, len(lines) // 2)
    turns = zip(("user", "assistant"), ("\n".join(lines[:half]), "\n".join(lines[half:]) or "."), strict=True)
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def _write(path: Path, records: Iterator[dict[str, object]]) -> None:
    path.write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in records), encoding="utf-8")


def make_base(folder: Path, given: argparse.Namespace, seed: int) -> None:
    """Train the base, and round a copy of it by GPTQ on some of its own text."""
    config = TrainConfig(
        text=(folder / "base.jsonl",), out=folder / "base", preset=given.preset, vocab_size=given.vocab_size,
        validation_tokens=5_000, loop=LoopConfig(steps=given.base_steps, seed=seed, resume=True),
    )  # fmt: skip
    train_on_text(config)
    found = load_checkpoint(folder / "base")
    assert found.tokenizer is not None, "a trained model has its tokenizer"
    asked = QuantizeConfig(
        model=str(folder / "base"), out=folder / "gptq4", text=(folder / "base.jsonl",),
        calibration_tokens=given.calibration_tokens, heldout_tokens=1_000,
    )  # fmt: skip
    texts = texts_for(asked, found, found.tokenizer)
    names = [name for name in matrices(found.model) if name.startswith("blocks.")]
    quantize_model(found.model, dict.fromkeys(names, SCHEMES["gptq4"]), texts.calibration.batches())
    run = run_record(parent=folder / "base", parent_name=str((folder / "base").resolve()))
    save_checkpoint(folder / "gptq4", model=found.model, tokenizer=found.tokenizer, run=run)


def adapted(folder: Path, name: str, given: argparse.Namespace, seed: int) -> Found:
    """Train one adapter and merge it both ways."""
    model, kind = BASES[name]
    out = folder / name.replace(", ", "-")
    loop = tuning_loop()
    loop = replace(
        loop, steps=given.steps, seed=seed, resume=True, log_every=10,
        evaluate_every=max(1, given.steps // 5),
        optimizer=replace(loop.optimizer, learning_rate=given.rate),
    )  # fmt: skip
    config = TuneConfig(
        model=str(folder / model), data=(folder / "chats.jsonl",), out=out, base=kind, validation=0.2,
        batch_size=given.batch_size, samples=0, report=False, lora=AdapterConfig(rank=given.rank), loop=loop,
    )  # fmt: skip
    ready = prepare(config, write=False)
    rows = HeldoutRows(ready.heldout.examples, context=ready.context, batch_size=given.batch_size)
    before = evaluate(ready.model, NextToken(), rows, torch.device("cpu"))["loss"]
    loss = tune(config).training.validation_loss
    assert loss is not None, "some conversations are held out"
    own = merge_adapter(out).change
    assert own is not None, "the base is here"
    if kind == "float":
        return Found(before, loss, own.largest, 0.0, 0.0)
    other = merge_adapter(out, base=resolve(folder / "base"), another_base=True).change
    assert other is not None, "the base is here"
    return Found(before, loss, own.largest, other.largest, other.divergence)


def table(runs: dict[str, list[Found]]) -> None:
    """Means over the seeds, and the difference of the losses from LoRA's with its deviation."""
    print("| run | loss before | after | beside LoRA | own base, logits | float base, logits | divergence |")
    print("|---|---|---|---|---|---|---|")
    reference = np.array([one.loss for one in runs["LoRA, float"]])
    for name, found in runs.items():
        beside = np.array([one.loss for one in found]) - reference
        spread = beside.std(ddof=1) if len(beside) > 1 else math.nan
        cells = (
            name,
            f"{np.mean([one.before for one in found]):.4f}",
            f"{np.mean([one.loss for one in found]):.4f}",
            f"{beside.mean():+.4f} ± {spread:.4f}",
            f"{max(one.own for one in found):.1e}",
            f"{np.mean([one.original for one in found]):.3f}",
            f"{np.mean([one.divergence for one in found]):.4f}",
        )
        print("| " + " | ".join(cells) + " |")


def main(arguments: list[str] | None = None) -> dict[str, list[Found]]:
    """Make the bases, train the adapters, and print what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    for flag, kind, usual in (
        ("seeds", int, 3), ("first-seed", int, 0), ("megabytes", float, 4.0), ("base-steps", int, 300),
        ("steps", int, 120), ("preset", str, "micro"), ("vocab-size", int, 2048), ("rank", int, 8),
        ("rate", float, 2e-3), ("batch-size", int, 8), ("calibration-tokens", int, 16_384),
    ):  # fmt: skip
        parser.add_argument(f"--{flag}", type=kind, default=usual)
    given = parser.parse_args(arguments)
    runs: dict[str, list[Found]] = {name: [] for name in BASES}
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        folder = given.out / f"seed-{seed}"
        if not (folder / "gptq4").is_dir():
            write_data(folder, given.megabytes, seed)
            make_base(folder, given, seed)
        for name in BASES:
            kept = folder / f"{name}.json"
            if kept.is_file():
                found = Found(**json.loads(kept.read_text()))
            else:
                found = adapted(folder, name, given, seed)
                kept.write_text(json.dumps(asdict(found)))
            runs[name].append(found)
            print(f"seed {seed}, {name}: {found}", flush=True)
    table(runs)
    return runs


if __name__ == "__main__":
    main()
