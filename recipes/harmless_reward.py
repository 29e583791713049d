"""A reward model for SmolLM2 out of Anthropic's harmless pairs, on a budget of trained tokens.

    python recipes/harmless_reward.py [MODEL] [--data FILE] [--tokens 60000] [--longest 160] [--rank 8]
        [--rate 3e-4] [--seed 0] [--out DIR]

Pairs with a side longer than --longest tokens are left out. Of the others, pairs are trained on until the
budget of tokens (both sides, prompts counted twice) is used up, a tenth of them only to choose the best step;
all the rest is held out and looked at once. Printed are the held-out accuracy of the reward model, of the
same model before training by how probable it finds each answer, and of taking the shorter or the longer
answer, whichever is right more often in the training pairs; each with a bootstrap interval over pairs.
The texts are offensive; none is printed.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from shizuku.adapters.config import AdapterConfig
from shizuku.checkpoints.directory import load_checkpoint
from shizuku.checkpoints.names import resolve
from shizuku.evaluation.bootstrap import Estimate, bootstrap
from shizuku.evaluation.preferences import Judgement, judge_margins
from shizuku.text.problems import Problems
from shizuku.tuning.dpo.reference import table_scores
from shizuku.tuning.pair_examples import EncodedPair, encode_pairs
from shizuku.tuning.pair_rows import PairTable
from shizuku.tuning.pairs import read_pairs
from shizuku.tuning.reward import RewardResult, train_reward
from shizuku.tuning.reward_config import RewardConfig, head_loop
from shizuku.tuning.reward_scorer import RewardScorer

PAIRS = Path(os.environ.get("SHIZUKU_DATA", "../shared/data")) / "preference/hh_harmless.test.jsonl.gz"
VALIDATION = 0.1


def split(
    pairs: Sequence[EncodedPair], tokens: int, seed: int
) -> tuple[list[EncodedPair], list[EncodedPair]]:
    """Pairs of so many tokens, and more to choose the step by; and the rest, without their prompts."""
    order = np.random.default_rng(seed).permutation(len(pairs))
    learned: list[EncodedPair] = []
    used, at = 0, 0
    while at < len(order) and used < tokens * (1 + VALIDATION):
        learned.append(pairs[order[at]])
        used += len(learned[-1].chosen.ids) + len(learned[-1].rejected.ids)
        at += 1
    known = {pair.source.prompt_digest() for pair in learned}
    return learned, [pairs[n] for n in order[at:] if pairs[n].source.prompt_digest() not in known]


def written(pairs: Sequence[EncodedPair], path: Path) -> Path:
    """The pairs as a file that `shizuku reward` reads."""
    lines = [
        json.dumps({key: getattr(each.source, key) for key in ("prompt", "chosen", "rejected")})
        for each in pairs
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def trained(arguments: argparse.Namespace, learned: Sequence[EncodedPair], folder: Path) -> RewardResult:
    """The reward model, in `--out`."""
    loop = head_loop()
    optimizer = replace(loop.optimizer, learning_rate=arguments.rate)
    config = RewardConfig(
        model=arguments.model,
        data=(written(learned, folder / "pairs.jsonl"),),
        out=Path(arguments.out or folder / "reward"),
        validation=VALIDATION,
        lora=AdapterConfig(rank=arguments.rank),
        loop=replace(loop, optimizer=optimizer, seed=arguments.seed),
        report=bool(arguments.out),
    )
    return train_reward(config)


def judged(result: RewardResult, held: Sequence[EncodedPair]) -> Judgement:
    """The trained model on held-out pairs, opened again from its directory as a user would."""
    scorer = RewardScorer.load(result.training.checkpoint)
    talks = [
        [*pair.source.prompt, *turns] for pair in held for turns in (pair.source.chosen, pair.source.rejected)
    ]
    rewards = scorer([talk[:-1] for talk in talks], [str(talk[-1]["content"]) for talk in talks])
    return judge_margins(np.array(rewards[::2]) - np.array(rewards[1::2]))


def untrained(model: str, held: Sequence[EncodedPair], longest: int) -> Estimate:
    """How often the model itself finds the chosen answer more probable a token, before any training."""
    scores = table_scores(
        load_checkpoint(resolve(model)).model.eval(), PairTable(held, context=longest), what="before training"
    )
    means_P2 = scores.logprobs_N2 / scores.tokens_N2
    return bootstrap(means_P2[:, 0] > means_P2[:, 1])


def by_length(learned: Sequence[EncodedPair], held: Sequence[EncodedPair]) -> tuple[str, Estimate]:
    """Taking the longer or the shorter answer, whichever is right more often in the training pairs."""

    def longer(pairs: Sequence[EncodedPair]) -> np.ndarray:
        sizes = np.array([[len(pair.chosen.ids), len(pair.rejected.ids)] for pair in pairs])
        return (sizes[:, 0] > sizes[:, 1]) + 0.5 * (sizes[:, 0] == sizes[:, 1])

    if longer(learned).mean() >= 0.5:
        return "the longer answer", bootstrap(longer(held))
    return "the shorter answer", bootstrap(1 - longer(held))


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Train, judge and print a table; returns the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--data", type=Path, default=PAIRS)
    parser.add_argument("--tokens", type=int, default=60_000)
    parser.add_argument("--longest", type=int, default=160)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out")
    arguments = parser.parse_args(argv)
    tokenizer = load_checkpoint(resolve(arguments.model)).tokenizer
    problems = Problems()
    encoded = encode_pairs(tokenizer, read_pairs(arguments.data, problems=problems).items, problems=problems)
    fitting = [p for p in encoded.items if max(len(p.chosen.ids), len(p.rejected.ids)) <= arguments.longest]
    learned, held = split(fitting, arguments.tokens, arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        result = trained(arguments, learned, Path(folder))
        judgement = judged(result, held)
    name, length = by_length(learned, held)
    print(
        f"{len(encoded.items):,} pairs, {len(fitting):,} of them with at most {arguments.longest} tokens a "
        f"side: trained on {result.pairs:,} ({result.tokens:,} tokens, {result.training.seconds:.0f} s, "
        f"{result.heldout} more to choose the step), {len(held):,} held out\n"
    )
    rows = [
        ("reward model", judgement.accuracy),
        ("more probable a token, untrained", untrained(arguments.model, held, arguments.longest)),
        (name, length),
    ]
    print("| preferred by | held-out accuracy | 95 % interval |\n|---|---:|---:|")
    for label, found in rows:
        print(f"| {label} | {found.mean:.3f} | {found.low:.3f} to {found.high:.3f} |")
    print(f"\nheld-out loss {judgement.loss:.3f} nats a pair (a coin: 0.693), ", end="")
    print(f"calibration error {judgement.calibration_error:.3f}")
    return {label: found.mean for label, found in rows} | {"loss": judgement.loss}


if __name__ == "__main__":
    main()
