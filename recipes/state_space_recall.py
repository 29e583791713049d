"""What a state of fixed size recalls far beyond the lengths that it was trained at.

    python recipes/state_space_recall.py [--tasks induction copying] [--kinds mamba mamba2 attention]
        [--seeds 0 1 2] [--seconds 120] [--length 256] [--tested 256 1024 4096] [--json FILE]

Two tasks of Gu and Dao (2023). Induction: somewhere in random tokens stands a special one, and behind it the
answer; when the special one comes again at the very end, the answer is asked for. (In training it may come
several times in between, each time followed by the answer, so that there is more to learn from in a row.)
Selective copying: some tokens stand at random places among noise; after it they are asked for in their order.

Models of two blocks, 64 wide, learn each task in rows of at most `--length` tokens (a half, a quarter
and an eighth of it as often) for so many seconds, and are tested on new rows of each tested length: the share
of asked tokens that come out right. `mamba` has a decay for each number of its state, `mamba2` one a head;
`attention` is a decoder with rotary positions, the control.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shizuku.data.packing import Batch
from shizuku.models.architectures import architecture_of, build
from shizuku.models.decoder_config import DecoderConfig
from shizuku.models.mamba import MambaConfig
from shizuku.training.config import LoopConfig, OptimizerConfig
from shizuku.training.loop import train
from shizuku.training.objectives import NextToken

PLAIN = 16
"""Tokens that are drawn; the next id is the special one, or noise, and the one after it asks for a copy."""
SPECIAL = NOISE = PLAIN
ASKS = PLAIN + 1
REPEATS, ITEMS = 8, 8
SHORTER = (1, 2, 4, 8)
"""Parts of the full length that training rows have; a batch has as many tokens at each."""
PIECE = 512
"""Tokens of a test that are read at once, the state standing between."""
Rows = tuple[np.ndarray, np.ndarray]
"""Tokens [B, T + 1], of which the last T are targets, and which of the targets are asked for [B, T]."""


def induction(random: np.random.Generator, rows: int, length: int, *, testing: bool) -> Rows:
    """Rows of `length` inputs that end with the special token, and the answer behind it."""
    tokens_BT = random.integers(0, PLAIN, (rows, length + 1))
    asked_BT = np.zeros((rows, length), dtype=bool)
    for tokens_T, asked_T in zip(tokens_BT, asked_BT, strict=True):
        repeats = 0 if testing else int(random.integers(0, min(REPEATS, length // 8) + 1))
        places = np.sort(random.choice((length - 2) // 2, repeats + 1, replace=False)) * 2
        answer = random.integers(0, PLAIN)
        for place in (*places, length - 1):
            tokens_T[place], tokens_T[place + 1] = SPECIAL, answer
        asked_T[[*places[1:], length - 1]] = True
    return tokens_BT, asked_BT


def copying(random: np.random.Generator, rows: int, length: int, *, testing: bool) -> Rows:
    """Rows of `length` inputs: items among noise, then as many that ask for them."""
    tokens_BT = np.full((rows, length + 1), NOISE)
    asked_BT = np.zeros((rows, length), dtype=bool)
    for tokens_T in tokens_BT:
        places = np.sort(random.choice(length - ITEMS, ITEMS, replace=False))
        tokens_T[places] = random.integers(0, PLAIN, ITEMS)
    asked_BT[:, -ITEMS:] = True
    return tokens_BT, asked_BT


TASKS: Mapping[str, Callable[..., Rows]] = {"induction": induction, "copying": copying}


def batch_of(
    task: str, random: np.random.Generator, rows: int, length: int, *, testing: bool = False
) -> Batch:
    """Rows of a task as the loop takes them."""
    tokens_BT, asked_BT = TASKS[task](random, rows, length, testing=testing)
    ids_BT, targets_BT = tokens_BT[:, :-1].copy(), tokens_BT[:, 1:].copy()
    if task == "copying":
        items = [tokens_T[tokens_T < PLAIN] for tokens_T in ids_BT]
        ids_BT[:, -ITEMS:], targets_BT[:, -ITEMS:] = ASKS, np.stack(items)
    return Batch(ids_BT, targets_BT, asked_BT, None, None)


class Drawn:
    """An endless source of new rows."""

    def __init__(self, task: str, seed: int, *, rows: int, length: int) -> None:
        """Begin with the first batch."""
        self.task, self.seed, self.rows, self.length, self.drawn = task, seed, rows, length, 0

    def next(self) -> Batch:
        """The next rows."""
        self.drawn += 1
        random = np.random.default_rng([self.seed, self.drawn])
        part = int(random.choice(SHORTER))
        return batch_of(self.task, random, self.rows * part, self.length // part)

    def state_dict(self) -> dict[str, int]:
        """How many batches were drawn."""
        return {"drawn": self.drawn}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on behind so many batches."""
        self.drawn = state["drawn"]


def config_of(kind: str, context: int) -> Any:
    """Two blocks of each kind, 64 features wide."""
    sizes: dict[str, Any] = {"vocab_size": PLAIN + 2, "context": context, "width": 64, "layers": 2}
    if kind == "attention":
        return DecoderConfig(**sizes, heads=4, ffn_width=128, qk_norm=True, tie_embeddings=True)
    return MambaConfig(**sizes, heads=8 if kind == "mamba2" else None)


@torch.inference_mode()
def accuracy(model: Any, task: str, length: int, *, rows: int, seed: int) -> float:
    """Share of the asked tokens that are the most probable ones, in rows that were never trained on."""
    right = asked = 0
    for first in range(0, rows, 16):
        random = np.random.default_rng([seed, length, first, 10**6])
        batch = batch_of(task, random, min(16, rows - first), length, testing=True)
        ids_BT = torch.from_numpy(batch.ids_BT)
        if isinstance(model.config, DecoderConfig):
            x_BTD = model.hidden(ids_BT)
        else:
            state = model.new_state(len(ids_BT))
            x_BTD = torch.cat([model.hidden(piece, state=state) for piece in ids_BT.split(PIECE, 1)], 1)
        found_N = model.unembed(x_BTD[torch.from_numpy(batch.mask_BT)]).argmax(-1).numpy()
        right += int((found_N == batch.targets_BT[batch.mask_BT]).sum())
        asked += len(found_N)
    return right / asked


def one_run(arguments: argparse.Namespace, task: str, kind: str, seed: int) -> dict[str, Any]:
    """Train one model on one task; what it recalls at each tested length."""
    config = config_of(kind, max(arguments.length, *arguments.tested))
    model = build(config)
    architecture_of(config).initialise(model, seed)
    loop = LoopConfig(
        steps=arguments.steps,
        max_seconds=None if arguments.steps else arguments.seconds,
        seed=seed,
        optimizer=OptimizerConfig(
            learning_rate=arguments.rate, muon_learning_rate=arguments.muon_rate, weight_decay=0.0
        ),
        check_precision=False,
    )
    source, begun = Drawn(task, seed, rows=arguments.rows, length=arguments.length), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = train(model, NextToken(), source, loop, out=Path(folder) / "model")
    seconds = time.perf_counter() - begun
    model.eval()
    recalled = {
        length: accuracy(model, task, length, rows=arguments.held, seed=seed) for length in arguments.tested
    }
    return {
        "task": task,
        "kind": kind,
        "seed": seed,
        "steps": source.drawn,
        "seconds": round(seconds, 1),
        "loss": result.loss,
        "recalled": recalled,
    }


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Run every task, kind and seed, and print a table; returns its rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--kinds", nargs="*", default=["mamba", "mamba2", "attention"])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--tested", type=int, nargs="*", default=[256, 1024, 4096])
    parser.add_argument("--held", type=int, default=256)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--muon-rate", type=float, default=0.02)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args(argv)
    lengths = " | ".join(f"{length:,} tokens" for length in arguments.tested)
    print(f"trained at up to {arguments.length} tokens\n\n| task | model | seed | steps | {lengths} |")
    print("|---|---|---:|---:|" + "---:|" * len(arguments.tested))
    found = []
    for task in arguments.tasks:
        for kind in arguments.kinds:
            for seed in arguments.seeds:
                row = one_run(arguments, task, kind, seed)
                shares = " | ".join(f"{share:.1%}" for share in row["recalled"].values())
                print(f"| {task} | {kind} | {seed} | {row['steps']:,} | {shares} |", flush=True)
                found.append(row)
                if arguments.json is not None:
                    arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


if __name__ == "__main__":
    main()
