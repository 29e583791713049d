"""Time to nanoGPT's CPU loss on tiny Shakespeare: its recipe re-created, beside `shizuku train --preset`.

    python benchmarks/time_to_loss.py TINYSHAKESPEARE.txt --rounds 3

The recipe: characters, 4 layers, 4 heads, width 128, 64 characters of context, batch 12, 2,000 steps of
AdamW, learned positions, LayerNorm, GELU; the first nine tenths of the text train, the last tenth is the
validation split. Each side runs once a round, one after the other, with the seed of the round. The
baseline's time is that of its steps alone, without imports and evaluations; Shizuku's is that of the whole
command, from start to the written checkpoint. Both are then measured on the whole validation split in rows
of 64 characters.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WIDTH, LAYERS, HEADS, CONTEXT, BATCH, STEPS = 128, 4, 4, 64, 12, 2000
PEAK, LAST, WARM_UP = 1e-3, 1e-4, 100


def main() -> None:
    """Run the rounds and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preset", default="characters")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", choices=["baseline", "measure"], help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--checkpoint", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        side = baseline if arguments.side == "baseline" else measure
        print(json.dumps(side(arguments)))
        return
    rows: list[tuple[dict[str, float], dict[str, float]]] = []
    print("| seed | recipe: s | loss | parameters | Shizuku: s | loss | parameters | ratio of times |")
    print("|---|---|---|---|---|---|---|---|")
    for seed in range(arguments.rounds):
        peer, ours = run(arguments, "baseline", seed), shizuku(arguments, seed)
        rows.append((peer, ours))
        print(
            f"| {seed} | {peer['seconds']:.1f} | {peer['loss']:.4f} | {peer['parameters']:,} | "
            f"{ours['seconds']:.1f} | {ours['loss']:.4f} | {ours['parameters']:,} | "
            f"{peer['seconds'] / ours['seconds']:.2f} |",
            flush=True,
        )
    seconds = statistics.median(peer["seconds"] for peer, _ in rows)
    loss = statistics.median(peer["loss"] for peer, _ in rows)
    print(f"recipe, medians: {seconds:.1f} s, loss {loss:.4f}")
    for seed, (_, ours) in enumerate(rows):
        held = "reached" if ours["loss"] <= loss else "NOT reached"
        print(f"seed {seed}: the loss was {held} in 1 / {seconds / ours['seconds']:.2f} of the time")


def run(arguments: argparse.Namespace, side: str, seed: int, *more: str) -> dict[str, float]:
    """One side in a process of its own."""
    command = [sys.executable, __file__, str(arguments.text), "--side", side, "--seed", str(seed)]
    command += ["--threads", str(arguments.threads), *more]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return result


def shizuku(arguments: argparse.Namespace, seed: int) -> dict[str, float]:
    """The whole command, timed from outside, and its checkpoint measured."""
    with tempfile.TemporaryDirectory() as folder:
        text, out = Path(folder) / "train.txt", Path(folder) / "model"
        text.write_text(split(arguments.text)[0], encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "shizuku",
            "train",
            "--preset",
            arguments.preset,
            "--text",
            str(text),
        ]
        command += ["--out", str(out), "--seed", str(seed), "--threads", str(arguments.threads), "--json"]
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - begun
        return {**run(arguments, "measure", seed, "--checkpoint", str(out)), "seconds": seconds}


def split(path: Path) -> tuple[str, str]:
    """The first nine tenths of the text, and the last."""
    text = path.read_text(encoding="utf-8")
    border = int(0.9 * len(text))
    return text[:border], text[border:]


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """The loss of a checkpoint on the whole validation split, in nats a character."""
    import torch

    from shizuku.checkpoints.directory import load_checkpoint
    from shizuku.models.decoder import parameter_count

    torch.set_num_threads(arguments.threads)
    found = load_checkpoint(arguments.checkpoint)
    assert found.tokenizer is not None
    text = split(arguments.text)[1]
    ids = found.tokenizer.encode(text)
    assert len(ids) == len(text), "one token a character"
    return {
        "loss": whole_loss(found.model, torch.tensor(ids)),
        "parameters": parameter_count(found.model),
    }


def whole_loss(model, ids_N, context: int = CONTEXT) -> float:  # type: ignore[no-untyped-def]
    """Mean cross entropy over rows of `context` characters that lie side by side."""
    import torch
    import torch.nn.functional as F

    rows = (len(ids_N) - 1) // context
    inputs = ids_N[: rows * context].view(rows, context)
    targets = ids_N[1 : rows * context + 1].view(rows, context)
    total = 0.0
    with torch.no_grad():
        for x, y in zip(inputs.split(256), targets.split(256), strict=True):
            total += F.cross_entropy(model(x).flatten(0, 1).float(), y.flatten(), reduction="sum").item()
    return total / (rows * context)


def baseline(arguments: argparse.Namespace) -> dict[str, float]:
    """The recipe, re-created: seconds of its training steps, and the loss after them."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    train, valid = split(arguments.text)
    vocabulary = {character: number for number, character in enumerate(sorted(set(train + valid)))}
    train_ids, valid_ids = (torch.tensor([vocabulary[c] for c in part]) for part in (train, valid))
    model = make_gpt(len(vocabulary))
    decayed = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.99))
    begun = time.perf_counter()
    for step in range(STEPS):
        wave = 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / (STEPS - WARM_UP)))
        rate = PEAK * (step + 1) / (WARM_UP + 1) if step < WARM_UP else LAST + wave * (PEAK - LAST)
        for group in optimizer.param_groups:
            group["lr"] = rate
        starts = torch.randint(len(train_ids) - CONTEXT, (BATCH, 1))
        rows = train_ids[starts + torch.arange(CONTEXT + 1)]
        loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    seconds = time.perf_counter() - begun
    return {
        "seconds": seconds,
        "loss": whole_loss(model, valid_ids),
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def make_gpt(vocab_size: int):  # type: ignore[no-untyped-def]
    """The recipe's network: pre-norm GPT-2 blocks without biases, tied embeddings, no dropout."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before_attention = nn.LayerNorm(WIDTH, bias=False)
            self.attention = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
            self.projection = nn.Linear(WIDTH, WIDTH, bias=False)
            self.before_mlp = nn.LayerNorm(WIDTH, bias=False)
            self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
            self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            heads = self.attention(self.before_attention(x)).unflatten(2, (3, HEADS, -1))
            q, k, v = heads.permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.projection(y.transpose(1, 2).flatten(2))
            return x + self.down(F.gelu(self.up(self.before_mlp(x))))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(vocab_size, WIDTH), nn.Embedding(CONTEXT, WIDTH)
            self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
            self.norm = nn.LayerNorm(WIDTH, bias=False)
            for name, parameter in self.named_parameters():
                if parameter.dim() > 1:
                    last = name.endswith(("projection.weight", "down.weight"))
                    nn.init.normal_(parameter, 0.0, 0.02 / math.sqrt(2 * LAYERS) if last else 0.02)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x = self.tokens(ids) + self.places.weight[: ids.shape[1]]
            return F.linear(self.norm(self.blocks(x)), self.tokens.weight)

    return GPT()


if __name__ == "__main__":
    main()
