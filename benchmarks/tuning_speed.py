"""Tuning throughput and memory beside trl's SFTTrainer, whole and with a LoRA adapter of PEFT, interleaved.

    python benchmarks/tuning_speed.py smollm2-135m-instruct CONVERSATIONS.json
    python benchmarks/tuning_speed.py smollm2-135m-instruct CONVERSATIONS.json --lora

All sides start from the same float32 weights (the peer's come from `shizuku export --format hf`) and learn
the same token ids with the same tokens marked, the answers alone, in float32 on the processor, without
checkpointing of activations, by AdamW with clipping. Rows, and sums of a step, have the same number of
tokens as nearly as each side's packing allows. The peer has two settings, of which the faster counts:

    packed    best-fit decreasing, flattened, a mask that keeps conversations apart (sdpa)
    grouped   one conversation a row, padded, rows of about equal length together (sdpa)

`unshared` is our side without what `shizuku tune` does by itself: what all conversations begin with, here the
template's system turn, is computed once a row.

Each side runs in a process of its own through its own public loop; they take turns of a few steps, so that a
change of the machine's clock meets all. Learned tokens a second are compared, because what stands for one
conversation (its padding, what comes after its answer) differs between them: the room of rows that a side
goes through in a second, times the learned tokens in the room of its whole epoch, so that a few lucky or
unlucky rows don't count. Before the first step all sides
say the loss and the norm of the blocks' gradient of the same conversations: where they differ the run is
refused. (The embedding's gradient is left out of that norm: transformers gives none to the input embedding of
the pad token, which is SmolLM2's end of a turn.)
Needs trl and peft (pip install trl peft).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taking_turns import Answer, Turns, ask, end, medians, per, ratio_line, start, turns

OURS, PEERS = ("shizuku", "unshared"), ("packed", "grouped")
RANK = 16
CHECKED = 16
"""Conversations whose loss is compared before the first step."""


def main() -> None:
    """Prepare the data, start the sides, let them take turns, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--lora", action="store_true", help=f"an adapter of rank {RANK} on every layer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="steps of a turn")
    parser.add_argument("--context", type=int, default=256, help="tokens of a row")
    parser.add_argument("--rows", type=int, default=4, help="rows of a step")
    parser.add_argument("--sides", nargs="+", choices=OURS + PEERS, default=OURS + PEERS)
    parser.add_argument("--minutes", type=float, default=15, help="begin no round that would end later")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", choices=OURS + PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        serve(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(arguments, Path(folder))
        print_table(run(arguments, folder), arguments.steps)


def prepare(arguments: argparse.Namespace, folder: Path) -> None:
    """Write the model as a Hugging Face directory, and the conversations as ids and marks."""
    from shizuku.checkpoints.directory import load_checkpoint
    from shizuku.checkpoints.names import resolve
    from shizuku.tuning.conversations import read_conversations
    from shizuku.tuning.dataset import encode_conversations, fitted

    export = [sys.executable, "-m", "shizuku", "export", arguments.model, "--format", "hf", "--type", "f32"]
    subprocess.run([*export, "--out", str(folder / "model")], check=True, capture_output=True)
    tokenizer = load_checkpoint(resolve(arguments.model)).tokenizer
    assert tokenizer is not None, "a model to tune has a tokenizer"
    conversations = read_conversations([arguments.data]).items
    encoded = fitted(encode_conversations(tokenizer, conversations), arguments.context, too_long="drop")
    examples = [[list(example.ids), list(example.learned)] for example in encoded.examples]
    (folder / "examples.json").write_text(json.dumps(examples), encoding="utf-8")


def run(arguments: argparse.Namespace, folder: str) -> dict[str, list[Answer]]:
    """What each side answered, turn by turn."""
    sides = {side: start(side, "--folder", folder) for side in arguments.sides}
    try:
        same([ask(process) for process in sides.values()])
        shares = {side: ask(process)["share"] for side, process in sides.items()}
        print("learned tokens in an epoch's room: " + ", ".join(f"{k} {v:.4f}" for k, v in shares.items()))
        answers = turns(sides, arguments.rounds, minutes=arguments.minutes)
    finally:
        end(sides.values())
    for side, each in answers.items():
        for answer in each:
            answer["learned"] = answer["room"] * shares[side]
    return answers


def same(checks: list[Answer]) -> None:
    """Stop unless all sides computed the same loss, and without an adapter the same gradient."""
    for what in checks[0]:
        values = [check[what] for check in checks]
        print(f"{what} of the same conversations: " + " ".join(f"{value:.6f}" for value in values))
        if max(values) - min(values) > 1e-4 * max(values):
            raise SystemExit(f"the {what} differs, so the sides don't do the same work")


def print_table(answers: dict[str, list[Answer]], steps: int) -> None:
    """Medians over the turns, and the ratios to the faster of the peer's settings."""
    print(
        f"{'':<9} {'learned/s':>9} {'a processor second':>18} {'padding':>8} {'s a step':>8} {'peak MiB':>9}"
    )
    speeds = {side: statistics.median(per(each, "learned", "seconds")) for side, each in answers.items()}
    for side, each in answers.items():
        middle = medians(each)
        print(
            f"{side:<9} {speeds[side]:9,.1f} "
            f"{statistics.median(per(each, 'learned', 'processor_seconds')):18,.1f} "
            f"{1 - middle['tokens'] / middle['room']:8.1%} {middle['seconds'] / steps:8.2f} "
            f"{each[-1]['peak_bytes'] / 2**20:9,.0f}"
        )
    best = max((side for side in answers if side in PEERS), key=speeds.__getitem__)
    for side in (side for side in answers if side in OURS):
        for clock in ("seconds", "processor_seconds"):
            ours, theirs = (per(answers[one], "learned", clock) for one in (side, best))
            print(ratio_line(ours, theirs, f"{clock}, {side} to {best}"))


def serve(arguments: argparse.Namespace) -> None:
    """Be one side."""
    import torch

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    examples = json.loads((arguments.folder / "examples.json").read_text(encoding="utf-8"))
    taking = Turns(arguments.steps, warm_up=2)
    side: Callable[..., None] = ours if arguments.side in OURS else peer
    side(arguments, examples, taking)


def ours(arguments: argparse.Namespace, examples: list[Any], taking: Turns) -> None:
    """Shizuku's rows, objective and loop."""
    from dataclasses import replace

    import torch

    from shizuku.adapters.config import AdapterConfig
    from shizuku.adapters.surgery import attach
    from shizuku.checkpoints.directory import load_checkpoint
    from shizuku.data.packing import Batch
    from shizuku.training.batches import on_device
    from shizuku.training.loop import train
    from shizuku.training.objectives import NextToken
    from shizuku.training.step import accumulate_gradients
    from shizuku.tuning.config import ADAPTER_RATE, tuning_loop
    from shizuku.tuning.examples import Example
    from shizuku.tuning.rows import ExampleRows, HeldoutRows

    class Counted(ExampleRows):
        def next(self) -> Batch:
            batch = super().next()
            assert batch.segments_BT is not None, "packed rows have segments"
            real = int((batch.segments_BT >= 0).sum())
            taking.count(tokens=real, room=batch.mask_BT.size)
            return batch

    model = load_checkpoint(arguments.folder / "model").model
    if arguments.lora:
        attach(model, AdapterConfig(rank=RANK))
    learnable = [Example(tuple(ids), tuple(learned)) for ids, learned in examples]
    first = HeldoutRows(learnable[:CHECKED], context=arguments.context, batch_size=CHECKED)
    model.train()
    batches = [on_device(batch, torch.device("cpu")) for batch in first]
    taking.say(check_of(model, accumulate_gradients(model, NextToken(), batches).loss, lora=arguments.lora))
    source = Counted(
        learnable, context=arguments.context, batch_size=arguments.rows, seed=0,
        share=arguments.side == "shizuku",
    )  # fmt: skip
    epoch = source.seen(source.rows_until(1.0))
    taking.say({"share": epoch.learned / epoch.room})
    loop = tuning_loop()
    rate = ADAPTER_RATE if arguments.lora else loop.optimizer.learning_rate
    optimizer = replace(loop.optimizer, learning_rate=rate)
    loop = replace(loop, steps=100_000, optimizer=optimizer)
    train(
        model,
        NextToken(),
        source,
        loop,
        out=arguments.folder / arguments.side,
        on_log=lambda _: taking.after_step(),
    )


def peer(arguments: argparse.Namespace, examples: list[Any], taking: Turns) -> None:
    """trl's SFTTrainer, with PEFT's adapter."""
    import datasets
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Counted(SFTTrainer):
        def training_step(self, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
            mask = inputs.get("attention_mask")
            room = inputs["input_ids"].numel()
            tokens = room if mask is None else int(mask.sum())
            taking.count(tokens=tokens, room=room)
            return super().training_step(model, inputs, *rest, **named)

    class Steps(TrainerCallback):
        def on_step_end(self, *rest: Any, **named: Any) -> None:
            taking.after_step()

    rows = [
        {"input_ids": ids, "labels": [one if mark else -100 for one, mark in zip(ids, marks, strict=True)]}
        for ids, marks in examples
    ]
    packed = arguments.side == "packed"
    tokens = sum(len(row["input_ids"]) for row in rows) / len(rows)
    config = SFTConfig(
        output_dir=str(arguments.folder / arguments.side), use_cpu=True, bf16=False, report_to=[],
        per_device_train_batch_size=(
            arguments.rows if packed else round(arguments.rows * arguments.context / tokens)
        ),
        packing=packed, max_length=arguments.context, gradient_checkpointing=False,
        train_sampling_strategy="random" if packed else "group_by_length",
        max_steps=100_000, logging_strategy="no", save_strategy="no", disable_tqdm=True, max_grad_norm=1.0,
        learning_rate=5e-4 if arguments.lora else 1e-4, adam_beta2=0.99, lr_scheduler_type="cosine",
        warmup_steps=5_000,
    )  # fmt: skip
    place = str(arguments.folder / "model")
    trainer = Counted(
        model=AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, attn_implementation="sdpa"),
        args=config,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(place),
        peft_config=LoraConfig(
            r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        if arguments.lora
        else None,
        callbacks=[Steps()],
    )
    trainer.model.train()
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(rows[:CHECKED]))
    loss.backward()
    taking.say(check_of(trainer.model, float(loss.detach()), lora=arguments.lora))
    learned = room = 0
    for batch in trainer.get_train_dataloader():
        learned, room = learned + int((batch["labels"] != -100).sum()), room + batch["labels"].numel()
    taking.say({"share": learned / room})
    trainer.train()


def check_of(model: Any, loss: float, *, lora: bool) -> dict[str, float]:
    """What is compared of some conversations; an adapter's first gradient depends on its random numbers."""
    import torch

    tables = {module.weight for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    gradients = [one.grad for one in model.parameters() if one.grad is not None and one not in tables]
    norm = float(torch.nn.utils.get_total_norm(gradients))
    model.zero_grad()
    return {"loss": loss} if lora else {"loss": loss, "norm": norm}


if __name__ == "__main__":
    main()
