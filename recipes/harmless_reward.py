"""A reward model for SmolLM2 out of Anthropic's harmless pairs, on a budget of trained tokens.

    python recipes/harmless_reward.py [MODEL] [--data FILE] [--tokens 10000] [--held 250] [--longest 96]
        [--rank 8] [--rate 1e-3] [--seed 0] [--untrained] [--out DIR]

Rendered by ChatML without a system turn; pairs with a side longer than --longest tokens are left out. Of the
others, pairs are trained on once until the budget of tokens (both sides, prompts counted twice) is used up;
--held of the rest, no prompt in both, are looked at once. Printed is the held-out accuracy of the reward
model, and of taking the shorter or the longer answer, whichever is right more often in the training pairs;
with --untrained also of the model before training, by how probable it finds each answer. Intervals are 95 %
over held-out pairs. With --out an interrupted run is gone on with. The texts are offensive; none is printed.
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
from shizuku.checkpoints.directory import load_checkpoint, load_tokenizer
from shizuku.checkpoints.names import resolve
from shizuku.evaluation.bootstrap import Estimate, bootstrap
from shizuku.evaluation.preferences import Judgement, judge_margins
from shizuku.text.chat import CHATML
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.resume import has_state
from shizuku.tuning.dpo.reference import table_scores
from shizuku.tuning.pair_examples import EncodedPair, encode_pairs
from shizuku.tuning.pair_rows import PairTable
from shizuku.tuning.pairs import read_pairs
from shizuku.tuning.reward import RewardResult, train_reward
from shizuku.tuning.reward_config import RewardConfig, head_loop
from shizuku.tuning.reward_scorer import RewardScorer

PAIRS = Path(os.environ.get("SHIZUKU_DATA", "../shared/data")) / "preference/hh_harmless.test.jsonl.gz"


def split(
    pairs: Sequence[EncodedPair], tokens: int, seed: int
) -> tuple[list[EncodedPair], list[EncodedPair]]:
    """Pairs of so many tokens, and the rest, without their prompts."""
    order = np.random.default_rng(seed).permutation(len(pairs))
    learned: list[EncodedPair] = []
    used, at = 0, 0
    while at < len(order) and used < tokens:
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
    loop, out = head_loop(), Path(arguments.out or folder / "reward")
    optimizer = replace(loop.optimizer, learning_rate=arguments.rate)
    template = folder / "chatml.jinja"
    template.write_text(CHATML, encoding="utf-8")
    config = RewardConfig(
        model=arguments.model,
        data=(written(learned, folder / "pairs.jsonl"),),
        out=out,
        batch_size=4,
        validation=0.0,
        chat_template=template,
        lora=AdapterConfig(rank=arguments.rank),
        loop=replace(loop, optimizer=optimizer, seed=arguments.seed, resume=has_state(out)),
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
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--held", type=int, default=250)
    parser.add_argument("--longest", type=int, default=96)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--out")
    arguments = parser.parse_args(argv)
    tokenizer = load_tokenizer(resolve(arguments.model))
    tokenizer = Tokenizer(
        tokenizer.backend, special=tokenizer.special, chat_templates={"default": CHATML},
        settings=tokenizer.settings,
    )  # fmt: skip
    problems = Problems()
    encoded = encode_pairs(tokenizer, read_pairs(arguments.data, problems=problems).items, problems=problems)
    fitting = [p for p in encoded.items if max(len(p.chosen.ids), len(p.rejected.ids)) <= arguments.longest]
    learned, held = split(fitting, arguments.tokens, arguments.seed)
    held = held[: arguments.held]
    with tempfile.TemporaryDirectory() as folder:
        result = trained(arguments, learned, Path(folder))
        judgement = judged(result, held)
    name, length = by_length(learned, held)
    print(
        f"{len(encoded.items):,} pairs, {len(fitting):,} of them with at most {arguments.longest} tokens a "
        f"side: trained on {result.pairs:,} ({result.tokens:,} tokens, {result.training.seconds:.0f} s), "
        f"{len(held):,} held out\n"
    )
    rows = [("reward model", judgement.accuracy), (name, length)]
    if arguments.untrained:
        rows.append(("more probable a token, untrained", untrained(arguments.model, held, arguments.longest)))
    print("| preferred by | held-out accuracy | 95 % interval |\n|---|---:|---:|")
    for label, found in rows:
        print(f"| {label} | {found.mean:.3f} | {found.low:.3f} to {found.high:.3f} |")
    print(f"\nheld-out loss {judgement.loss:.3f} nats a pair (a coin: 0.693), ", end="")
    print(f"calibration error {judgement.calibration_error:.3f}")
    return {label: found.mean for label, found in rows} | {"loss": judgement.loss}


if __name__ == "__main__":
    main()
