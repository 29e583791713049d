"""Training throughput beside transformers' Llama in a plain loop with fused AdamW, interleaved.

    python benchmarks/training_speed.py --rounds 5
    python benchmarks/training_speed.py --rounds 5 --compile

The same shape (13.8 M parameters: vocabulary 8,192, width 384, 6 layers, 6 heads, tied embeddings, 256
tokens), batch 16, float32, the same random tokens, gradient clipping, two threads. Each side runs in a
process of its own; they take turns, a few steps at a time, so that a change of the machine's clock meets
both. Prints tokens a second (median over the rounds), the ratio of each round, and each process's peak
memory.
Needs transformers (extra: bench).
"""

import argparse
import json
import statistics
import subprocess
import sys

SHAPE = {"vocab_size": 8192, "width": 384, "layers": 6, "heads": 6, "ffn_width": 1024, "context": 256}
BATCH, WARM_UP = 16, 3


def main() -> None:
    """Start both sides, let them take turns, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="steps of a turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="both sides through torch.compile")
    parser.add_argument("--optimizer", choices=["adamw", "muon"], default="adamw", help="of our side")
    parser.add_argument("--side", choices=["shizuku", "transformers"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        serve(arguments)
        return
    sides = {side: start(side, arguments) for side in ("transformers", "shizuku")}
    speeds: dict[str, list[float]] = {side: [] for side in sides}
    answer: dict[str, float] = {}
    memory = {}
    for _ in range(arguments.rounds):
        for side, process in sides.items():
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            speeds[side].append(answer["tokens_per_second"])
            memory[side] = answer["peak_bytes"]
    for process in sides.values():
        process.communicate()
    for side, values in speeds.items():
        print(f"{side:<13} {statistics.median(values):8,.0f} tokens/s   peak {memory[side] / 2**20:,.0f} MiB")
    ratios = [ours / peer for ours, peer in zip(speeds["shizuku"], speeds["transformers"], strict=True)]
    print(f"ratio, median {statistics.median(ratios):.3f}; rounds " + " ".join(f"{r:.2f}" for r in ratios))


def start(side: str, arguments: argparse.Namespace) -> "subprocess.Popen[str]":
    """One side as a process that trains a turn for every line it is sent."""
    command = [sys.executable, __file__, "--side", side, "--steps", str(arguments.steps)]
    command += ["--threads", str(arguments.threads), "--optimizer", arguments.optimizer]
    command += ["--compile"] if arguments.compile else []
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def serve(arguments: argparse.Namespace) -> None:
    """Train a turn for every line on stdin; answer with the speed and the peak memory so far."""
    import os
    import resource
    import time

    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    import torch

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    step = (ours if arguments.side == "shizuku" else peer)(arguments)
    ids = torch.randint(SHAPE["vocab_size"], (BATCH, SHAPE["context"] + 1))
    warm = False
    for _ in sys.stdin:
        for _ in range(0 if warm else WARM_UP):
            step(ids)
        warm = True
        begun = time.perf_counter()
        for _ in range(arguments.steps):
            step(ids)
        seconds = time.perf_counter() - begun
        answer = {
            "tokens_per_second": arguments.steps * BATCH * SHAPE["context"] / seconds,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        print(json.dumps(answer), flush=True)


def ours(arguments: argparse.Namespace):  # type: ignore[no-untyped-def]
    """A step of Shizuku's loop: objective, check of the gradient, clipping, optimizer."""
    import torch

    from shizuku.models.decoder import Decoder, DecoderConfig, initialise
    from shizuku.training.batches import TensorBatch
    from shizuku.training.config import OptimizerConfig
    from shizuku.training.objectives import NextToken
    from shizuku.training.optimizers import Optimizers
    from shizuku.training.step import accumulate_gradients, clip_gradients

    model = Decoder(DecoderConfig(**SHAPE))
    initialise(model, 0)
    if arguments.compile:
        for block in model.blocks:
            block.compile()
    objective, optimizers = NextToken(), Optimizers(model, OptimizerConfig(kind=arguments.optimizer))

    def step(ids: torch.Tensor) -> None:
        batch = TensorBatch(
            ids_BT=ids[:, :-1],
            targets_BT=ids[:, 1:],
            mask_BT=torch.ones_like(ids[:, 1:], dtype=torch.bool),
            segments_BT=None,
            positions_BT=None,
        )
        loss = accumulate_gradients(model, objective, [batch])
        clip_gradients(model, loss.grad_norm, 1.0)
        optimizers.step()
        optimizers.zero_grad()

    return step


def peer(arguments: argparse.Namespace):  # type: ignore[no-untyped-def]
    """The usual loop around transformers' Llama."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=SHAPE["vocab_size"],
        hidden_size=SHAPE["width"],
        num_hidden_layers=SHAPE["layers"],
        num_attention_heads=SHAPE["heads"],
        num_key_value_heads=SHAPE["heads"],
        intermediate_size=SHAPE["ffn_width"],
        max_position_embeddings=SHAPE["context"],
        tie_word_embeddings=True,
        use_cache=False,
    )
    model = LlamaForCausalLM(config)
    model.train()
    run = torch.compile(model) if arguments.compile else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def step(ids: torch.Tensor) -> None:
        run(input_ids=ids[:, :-1], labels=ids[:, :-1]).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


if __name__ == "__main__":
    main()
