"""Does a reward model learn what is better from labels of which some are wrong?

    python recipes/noisy_preferences.py [--pairs 3000] [--held 1000] [--flipped 0.1] [--seeds 0 1 2]
        [--steps 250]

A micro model with random weights; answers are random words, and the better one of a pair has more of two of
them: a property that is exact and countable. Of the training and of the held-out labels a share is turned
round at random, so no model can be right about more than 1 - that share of the held-out labels (Bayes).
Printed for each seed: held-out accuracy on labels with the same noise and on true ones, and how far the
stated probabilities are from the observed shares.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from shizuku.checkpoints.directory import save_checkpoint
from shizuku.evaluation.preferences import Judgement, judge_margins
from shizuku.models.decoder import Decoder, DecoderConfig, initialise
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.reward import train_reward
from shizuku.tuning.reward_config import RewardConfig, head_loop
from shizuku.tuning.reward_scorer import RewardScorer

WORDS = ("rain", "boat", "lake", "shop", "sea", "baker", "mat", "cat", "road", "tree", "lamp", "door")
GOOD = ("boat", "lamp")
LENGTH = 6


def gold(answer: str) -> int:
    """How good an answer is: how many of its words are good ones."""
    return sum(word in GOOD for word in answer.split())


def drawn(number: int, flipped: float, random: np.random.Generator) -> list[dict[str, str]]:
    """Pairs whose answers differ in what they are worth, some labelled the wrong way round."""
    found: list[dict[str, str]] = []
    chances = [0.2 if word in GOOD else 0.6 / (len(WORDS) - len(GOOD)) for word in WORDS]
    while len(found) < number:
        sides = [" ".join(random.choice(WORDS, LENGTH, p=chances)) for _ in range(2)]
        if gold(sides[0]) == gold(sides[1]):
            continue
        sides.sort(key=gold, reverse=True)
        if random.random() < flipped:
            sides.reverse()
        found.append({"prompt": f"Number {len(found)}", "chosen": sides[0], "rejected": sides[1]})
    return found


def base(folder: Path, seed: int) -> Path:
    """A micro model with random weights and a tokenizer of the words."""
    text = " ".join([*WORDS, "Number 0 1 2 3 4 5 6 7 8 9"])
    tokenizer = Tokenizer.train([text] * 50, 300)
    config = DecoderConfig(
        vocab_size=tokenizer.vocab_size, context=64, width=32, layers=2, heads=2, ffn_width=64
    )
    model = Decoder(config)
    initialise(model, seed)
    return save_checkpoint(folder / "base", model=model, tokenizer=tokenizer)


def judged(scorer: RewardScorer, pairs: Sequence[dict[str, str]]) -> Judgement:
    """The reward model on pairs."""
    prompts = [pair["prompt"] for pair in pairs]
    better, worse = (
        np.array(scorer(prompts, [pair[side] for pair in pairs])) for side in ("chosen", "rejected")
    )
    return judge_margins(better - worse)


def one_seed(arguments: argparse.Namespace, seed: int) -> tuple[Judgement, Judgement]:
    """A reward model of one seed, on noisy held-out labels and on true ones."""
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "pairs.jsonl"
        pairs = drawn(arguments.pairs, arguments.flipped, random)
        data.write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
        loop = head_loop()
        optimizer = replace(loop.optimizer, learning_rate=arguments.rate)
        config = RewardConfig(
            model=str(base(folder, seed)),
            data=(data,),
            out=folder / "reward",
            batch_size=32,
            report=False,
            loop=replace(loop, steps=arguments.steps, seed=seed, optimizer=optimizer, check_precision=False),
        )
        scorer = RewardScorer.load(train_reward(config).training.checkpoint)
        noisy, true = drawn(arguments.held, arguments.flipped, random), drawn(arguments.held, 0.0, random)
        return judged(scorer, noisy), judged(scorer, true)


def main(argv: Sequence[str] | None = None) -> list[float]:
    """Train the seeds and print a table; returns the accuracies on noisy held-out labels."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--held", type=int, default=1000)
    parser.add_argument("--flipped", type=float, default=0.1)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    arguments = parser.parse_args(argv)
    print(f"{arguments.flipped:.0%} of the labels turned round: Bayes {1 - arguments.flipped:.2f}\n")
    print("| seed | noisy held-out labels | true ones | calibration error, noisy |\n|---:|---|---|---:|")
    found = []
    for seed in arguments.seeds:
        noisy, true = one_seed(arguments, seed)
        print(f"| {seed} | {noisy.accuracy} | {true.accuracy} | {noisy.calibration_error:.3f} |", flush=True)
        found.append(noisy.accuracy.mean)
    return found


if __name__ == "__main__":
    main()
