"""PPO on real preferences: SmolLM2 with an adapter, against a reward model out of Anthropic's harmless pairs.

    python recipes/harmless_ppo.py [MODEL] --out DIR [--data FILE] [--tokens 30000] [--rounds 30] [--rank 8]
        [--rate 3e-4] [--epochs 2] [--seed 0]

The pairs are split by prompt in three: one part trains the reward model (at most --tokens tokens), another a
judge of the same kind that PPO never sees, and the prompts of the third are answered. PPO takes --rounds
rounds of 16 answers of at most 24 tokens, with the value model as a head on the policy. Printed: how often
the judge prefers the aligned model's answer to the start's, on held-out prompts, with a bootstrap interval
over prompts; reward and judge before and after; the divergence. Each stage stays in --out, so the same
command goes on where it was stopped. The texts are offensive: they go to --out/answers.jsonl and are not
printed.
"""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from shizuku.adapters.config import AdapterConfig
from shizuku.checkpoints.directory import load_checkpoint
from shizuku.checkpoints.names import resolve
from shizuku.evaluation.bootstrap import bootstrap
from shizuku.text.problems import Problems
from shizuku.training.resume import has_state
from shizuku.tuning.align_config import AlignConfig
from shizuku.tuning.before import BEFORE
from shizuku.tuning.config import tuning_loop
from shizuku.tuning.pair_examples import EncodedPair, encode_pairs
from shizuku.tuning.pairs import read_pairs
from shizuku.tuning.policy.config import PPOConfig
from shizuku.tuning.policy.run import AFTER, align_policy
from shizuku.tuning.reward import train_reward
from shizuku.tuning.reward_config import RewardConfig, head_loop
from shizuku.tuning.reward_scorer import RewardScorer

PAIRS = Path(os.environ.get("SHIZUKU_DATA", "../shared/data")) / "preference/hh_harmless.test.jsonl.gz"
ANSWERS, NEW_TOKENS, LONGEST_PROMPT, LONGEST_SIDE, HELDOUT = 16, 24, 80, 120, 64


def parts_of(pairs: Sequence[EncodedPair], seed: int) -> list[list[EncodedPair]]:
    """Three parts, told apart by the digests of their prompts."""
    parts: list[list[EncodedPair]] = [[], [], []]
    for pair in pairs:
        parts[int(pair.source.prompt_digest(seed), 16) % 3].append(pair)
    return parts


def judge_of(arguments: argparse.Namespace, pairs: Sequence[EncodedPair], name: str) -> RewardScorer:
    """The reward model in --out/NAME, trained if it is not there; a stopped training goes on."""
    out = arguments.out / name
    if not (out / "done").exists():
        used, lines = 0, []
        for pair in pairs:
            sides = len(pair.chosen.ids), len(pair.rejected.ids)
            if max(sides) > LONGEST_SIDE:
                continue
            used += sum(sides)
            if used > arguments.tokens:
                break
            turns = {key: getattr(pair.source, key) for key in ("prompt", "chosen", "rejected")}
            lines.append(json.dumps(turns))
        data = arguments.out / f"{name}.jsonl"
        data.write_text("\n".join(lines), encoding="utf-8")
        loop = head_loop()
        loop = replace(loop, optimizer=replace(loop.optimizer, learning_rate=3e-4), resume=has_state(out))
        config = RewardConfig(
            model=arguments.model, data=(data,), out=out, lora=AdapterConfig(rank=arguments.rank),
            loop=replace(loop, seed=arguments.seed), report=False,
        )  # fmt: skip
        train_reward(config)
        (out / "done").touch()
    return RewardScorer.load(out)


def ppo_config(arguments: argparse.Namespace, prompts: Path, heldout: Path) -> AlignConfig:
    """`shizuku align` as it is called here."""
    loop, out = tuning_loop(), arguments.out / "aligned"
    optimizer = replace(loop.optimizer, learning_rate=arguments.rate, eps=1e-5)
    return AlignConfig(
        model=arguments.model, method="ppo", data=(prompts,), validation_data=(heldout,), out=out,
        reward=str(arguments.out / "reward"), samples=HELDOUT, lora=AdapterConfig(rank=arguments.rank),
        ppo=PPOConfig(
            answers=ANSWERS, minibatch=ANSWERS, epochs=arguments.epochs, rounds=arguments.rounds,
            max_new_tokens=NEW_TOKENS, temperature=0.7, critic="shared",
        ),
        loop=replace(loop, optimizer=optimizer, seed=arguments.seed, save_every=10, resume=has_state(out)),
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Run what is not done yet, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--data", type=Path, default=PAIRS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer = load_checkpoint(resolve(arguments.model)).tokenizer
    problems = Problems()
    encoded = encode_pairs(tokenizer, read_pairs(arguments.data, problems=problems).items, problems=problems)
    learned, judging, asking = parts_of(encoded.items, arguments.seed)
    judge_of(arguments, learned, "reward")
    judge = judge_of(arguments, judging, "judge")
    short = [pair.source for pair in asking if pair.chosen.learned.index(True) <= LONGEST_PROMPT]
    distinct = list({pair.prompt_digest(): pair for pair in short}.values())
    files = arguments.out / "heldout.jsonl", arguments.out / "prompts.jsonl"
    for file, some in zip(files, (distinct[:HELDOUT], distinct[HELDOUT:]), strict=True):
        lines = [json.dumps({"prompt": list(pair.prompt)}) for pair in some]
        file.write_text("\n".join(lines), encoding="utf-8")
    config = ppo_config(arguments, files[1], files[0])
    result = align_policy(config)
    turns = [list(pair.prompt) for pair in distinct[:HELDOUT]]
    before, after = (
        found.get("answers", found)["texts"]
        for found in (json.loads((config.out / file).read_text(encoding="utf-8")) for file in (BEFORE, AFTER))
    )
    scores = [np.array(judge(turns, texts)) for texts in (before, after)]
    with (arguments.out / "answers.jsonl").open("w", encoding="utf-8") as file:
        for prompt, was, now in zip(turns, before, after, strict=True):
            file.write(json.dumps({"prompt": prompt, "before": was, "after": now}) + "\n")
    wins = bootstrap((np.sign(scores[1] - scores[0]) + 1) / 2)
    print(f"{result.figures['rounds']} rounds of {ANSWERS} answers, {result.training.seconds:.0f} s")
    print(f"reward on held-out prompts: {result.reward_before:.3f} before, {result.reward_after:.3f} after")
    print(f"judge: {scores[0].mean():.3f} before, {scores[1].mean():.3f} after")
    print(f"the judge prefers the aligned answer: {wins} of {wins.items} prompts")
    print(f"divergence: {result.kl:.2f} nats an answer")
    same = sum(one == other for one, other in zip(before, after, strict=True))
    print(f"answers that stayed word for word: {same}")
    return {"wins": wins.mean, "low": wins.low, "high": wins.high, "kl": result.kl or 0.0}


if __name__ == "__main__":
    main()
