"""GRPO with a reward that can be checked: a micro model that half knows sums learns to give the right ones.

    python recipes/grpo_sums.py [--seeds 0 1 2] [--largest 12] [--wrong 0.5] [--steps 400] [--rounds 40]

A micro decoder over digits is trained on sums of which --wrong have a wrong answer, so that, drawn at
temperature 1, it is right on about the rest of them. GRPO then learns from an exact check alone, on the same
sums; a quarter of all sums is held out of both. Printed for each seed: right answers among those drawn at
temperature 1, before and after, on the sums that were learned from and on those held out; then the mean gain
with its 95 % interval over seeds (Student's t).
"""

import argparse
import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shizuku.inference.sampling import SamplingConfig
from shizuku.models.decoder import Decoder, DecoderConfig, initialise
from shizuku.progress import hushed
from shizuku.training.config import LoopConfig, OptimizerConfig, ScheduleConfig
from shizuku.training.loop import train
from shizuku.training.objectives import NextToken
from shizuku.training.seeds import Interval
from shizuku.tuning.examples import Example
from shizuku.tuning.policy.config import GRPOConfig
from shizuku.tuning.policy.grpo import GRPO
from shizuku.tuning.policy.rewards import CallableReward
from shizuku.tuning.policy.rollouts import Prompt, Sampler
from shizuku.tuning.policy.source import RolloutSource, Task, frozen
from shizuku.tuning.rows import ExampleRows

SIGNS = "0123456789+="
END = len(SIGNS)
LONGEST = 4
DRAWS = 8


def ids_of(text: str) -> list[int]:
    """A token a sign."""
    return [SIGNS.index(sign) for sign in text]


def written(ids: Sequence[int]) -> str:
    """An answer as it is checked."""
    return "".join(SIGNS[token] for token in ids if token != END)


def right(prompt: str, completion: str) -> float:
    """1 for the exact sum, else 0."""
    first, second = prompt.rstrip("=").split("+")
    return float(completion == str(int(first) + int(second)))


def micro(seed: int) -> Decoder:
    """A decoder that is small enough to learn sums in seconds."""
    config = DecoderConfig(vocab_size=END + 1, context=48, width=48, layers=2, heads=4, ffn_width=128)
    model = Decoder(config)
    initialise(model, seed)
    return model


def half_taught(
    model: Decoder, sums: Sequence[str], arguments: argparse.Namespace, seed: int, out: Path
) -> None:
    """Train on sums, each ten times, with wrong answers among them."""
    draw, examples = np.random.default_rng(seed), []
    for prompt in sums:
        for _ in range(10):
            first, second = map(int, prompt.rstrip("=").split("+"))
            wrong = draw.random() < arguments.wrong
            answer = int(draw.integers(0, 2 * arguments.largest + 1)) if wrong else first + second
            asked, said = ids_of(prompt), [*ids_of(str(answer)), END]
            examples.append(Example([*asked, *said], [False] * len(asked) + [True] * len(said)))
    rows = ExampleRows(examples, context=40, batch_size=32, seed=seed)
    optimizer = OptimizerConfig(muon_learning_rate=0.02)
    loop = LoopConfig(steps=arguments.steps, optimizer=optimizer, seed=seed, save_minutes=None)
    train(model, NextToken(), rows, loop, out=out)


def share_right(model: Decoder, sums: Sequence[str], seed: int) -> float:
    """Right answers among several drawn for each sum."""
    prompts = [prompt for prompt in sums for _ in range(DRAWS)]
    sampling = SamplingConfig(seed=seed + 1000)
    sampler = Sampler(model, sampling=sampling, max_new_tokens=LONGEST, stop_ids=frozenset([END]))
    drawn = sampler.sample([ids_of(prompt) for prompt in prompts], first=0)
    found = [
        right(prompt, written(drawn.answer(row))) * drawn.finished_B[row]
        for row, prompt in enumerate(prompts)
    ]
    return float(np.mean(found))


def run(arguments: argparse.Namespace, seed: int, folder: Path) -> dict[str, float]:
    """One seed: half-taught, then GRPO."""
    every = [f"{a}+{b}=" for a in range(arguments.largest + 1) for b in range(arguments.largest + 1)]
    order = np.random.default_rng(seed).permutation(len(every))
    cut = len(every) // 4
    held, sums = [every[n] for n in order[:cut]], [every[n] for n in order[cut:]]
    model = micro(seed)
    half_taught(model, sums, arguments, seed, folder / "base")
    found = {"learned_before": share_right(model, sums, seed), "held_before": share_right(model, held, seed)}
    config = GRPOConfig(
        answers=256, minibatch=64, group=8, max_new_tokens=LONGEST, kl=arguments.cost, missing_eos_penalty=0.5
    )
    task = Task(
        prompts=[Prompt(ids_of(prompt), prompt) for prompt in sums], reward=CallableReward(right),
        decode=written, stop_ids=frozenset([END]),
    )  # fmt: skip
    method = GRPO(config)
    source = RolloutSource(model, task, method, frozen(copy.deepcopy(model)), seed=seed)
    optimizer = OptimizerConfig(
        kind="adamw", learning_rate=arguments.rate, embedding_learning_rate=None, weight_decay=0.0, eps=1e-5
    )
    loop = LoopConfig(
        steps=arguments.rounds * config.batches, optimizer=optimizer, seed=seed, save_minutes=None,
        schedule=ScheduleConfig(kind="cosine", warmup=0.0),
    )  # fmt: skip
    train(model, method, source, loop, out=folder / "grpo")
    return found | {
        "learned_after": share_right(model, sums, seed),
        "held_after": share_right(model, held, seed),
    }


def main(argv: Sequence[str] | None = None) -> list[dict[str, float]]:
    """Run all seeds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--largest", type=int, default=12)
    parser.add_argument("--wrong", type=float, default=0.5)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--cost", type=float, default=0.01)
    parser.add_argument("--rate", type=float, default=0.002)
    arguments = parser.parse_args(argv)
    found = []
    print("| seed | learned before | after | held out before | after |\n|---:|---:|---:|---:|---:|")
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder, hushed():
            row = run(arguments, seed, Path(folder))
        found.append(row)
        order = ("learned_before", "learned_after", "held_before", "held_after")
        print(f"| {seed} | {' | '.join(f'{row[name]:.1%}' for name in order)} |", flush=True)
    for name in ("learned", "held"):
        gain = Interval.of([row[f"{name}_after"] - row[f"{name}_before"] for row in found])
        print(f"gain on {'sums that were learned from' if name == 'learned' else 'held-out sums'}: {gain}")
    return found


if __name__ == "__main__":
    main()
