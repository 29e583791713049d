"""Too much of a good proxy: PPO against a reward model learned from few, noisy labels of a known gold reward.

    python recipes/overoptimisation.py [--seeds 0 1 2] [--pairs 1500] [--flips 0.1] [--rounds 40]
        [--cost 0.01] [--out DIR]

A micro policy writes answers of up to ten of twelve letters. Gold is a known function of an answer: a random
number for each letter and each two neighbours. A reward model (a small decoder with a head) sees --pairs
pairs of the policy's answers, --flips of the labels wrong. PPO climbs the reward model; gold is recorded and
nothing learns from it. Both are in standard deviations of the starting policy's answers.

Printed for each seed: how often the reward model is right on pairs of unseen answers (with true labels), the
highest mean gold reward at a divergence of at most ten nats, and both rewards at the end. In --out:
overoptimisation.html, both rewards over the square root of the divergence (Gao et al. 2022), and curves.json.
"""

import argparse
import copy
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from shizuku.inference.sampling import SamplingConfig
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.models.heads import HeadedDecoder
from shizuku.progress import hushed
from shizuku.report.page import Figure, Page
from shizuku.report.plots import Series, line
from shizuku.training.config import LoopConfig, OptimizerConfig, ScheduleConfig
from shizuku.training.loop import train
from shizuku.tuning.head_rows import head_outputs, read_at_end
from shizuku.tuning.pair_examples import EncodedPair
from shizuku.tuning.pair_rows import PairRows, PairTable
from shizuku.tuning.pairs import PreferencePair
from shizuku.tuning.policy.config import PPOConfig
from shizuku.tuning.policy.critic import ActorCritic
from shizuku.tuning.policy.ppo import PPO
from shizuku.tuning.policy.rewards import CallableReward, ModelReward
from shizuku.tuning.policy.rollouts import Prompt, Sampler
from shizuku.tuning.policy.source import RolloutSource, Task, frozen
from shizuku.tuning.reward_objective import PairwiseReward

LETTERS, LONGEST, NEAR = "abcdefghijkl", 10, 10.0
END = len(LETTERS)
START = END + 1
SAMPLED = 2048


def micro(seed: int, layers: int = 1) -> Decoder:
    """A random decoder over letters, end and start."""
    config = DecoderConfig(
        vocab_size=START + 1, context=32, width=32, layers=layers, heads=2, ffn_width=128,
        tie_embeddings=False, positions="learned",
    )  # fmt: skip
    model, generator = Decoder(config), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + noise / 4 if parameter.dim() == 1 else noise / parameter.shape[-1] ** 0.5)
        model.unembedding_weight_VD.mul_(0.5)
        model.unembedding_weight_VD[START] = 0.0
    return model


def written(ids: Sequence[int]) -> str:
    """An answer as letters; the start token, which no answer needs, is a dot."""
    return "".join(LETTERS[token] if token < END else "." for token in ids if token != END)


def read(text: str) -> list[int]:
    """The ids of an answer that ended, behind the start token."""
    return [START, *(LETTERS.find(letter) if letter != "." else START for letter in text), END]


def gold_of(seed: int) -> Callable[[Sequence[str]], np.ndarray]:
    """The known reward of answers."""
    draw = np.random.default_rng(seed)
    letters, pairs = draw.normal(size=START + 1), draw.normal(size=(START + 1, START + 1))

    def gold(texts: Sequence[str]) -> np.ndarray:
        found = []
        for text in texts:
            ids = read(text)[1:-1]
            found.append(letters[ids].sum() + pairs[ids[:-1], ids[1:]].sum() if ids else 0.0)
        return np.array(found)

    return gold


def loop(steps: int, rate: float, seed: int) -> LoopConfig:
    """AdamW, falling in the second half."""
    optimizer = OptimizerConfig(
        kind="adamw", learning_rate=rate, embedding_learning_rate=None, weight_decay=0.01, betas=(0.9, 0.99),
        eps=1e-5,
    )  # fmt: skip
    schedule = ScheduleConfig(kind="wsd", warmup=0.0, decay=0.5)
    return LoopConfig(
        steps=steps, optimizer=optimizer, schedule=schedule, log_every=1, save_minutes=None, seed=seed,
        check_memory=False,
    )  # fmt: skip


def proxy_of(
    texts: Sequence[str], gold: np.ndarray, arguments: argparse.Namespace, seed: int, folder: Path
) -> tuple[Callable[[Sequence[str]], np.ndarray], float]:
    """A reward model out of flipped labels, and how often it is right on the pairs that it has not seen."""
    draw = np.random.default_rng(seed)
    count, unseen = arguments.pairs, len(texts) * 3 // 4
    pairs = [*draw.integers(0, unseen, (count, 2)), *draw.integers(unseen, len(texts), (count, 2))]
    better = [(a, b) if gold[a] >= gold[b] else (b, a) for a, b in pairs]
    flipped = [pair[::-1] if draw.random() < arguments.flips else pair for pair in better[:count]]
    source = PreferencePair([], [], [])
    table = PairTable(
        [EncodedPair(read_at_end(read(texts[a])), read_at_end(read(texts[b])), source) for a, b in flipped],
        context=32,
    )
    model = HeadedDecoder(micro(1000 + seed, layers=2), 1)
    rows = PairRows(table, batch_size=min(50, count), seed=seed)
    steps = 8 * count // min(50, count)
    train(model, PairwiseReward(), rows, loop(steps, 0.003, seed), out=folder / "proxy")

    def proxy(answers: Sequence[str]) -> np.ndarray:
        return head_outputs(model, [read(text) for text in answers])[:, 0].double().numpy()

    scores = proxy(texts)
    right = [scores[a] > scores[b] for a, b in better[count:]]
    return proxy, float(np.mean(right))


def climb(arguments: argparse.Namespace, seed: int, folder: Path) -> dict[str, object]:
    """One seed: gold, proxy, PPO; the rounds' divergences and rewards."""
    model, gold = micro(seed), gold_of(seed)
    prompt = Prompt([START], "")
    sampler = Sampler(
        model, sampling=SamplingConfig(seed=seed + 77), max_new_tokens=LONGEST, stop_ids=frozenset([END])
    )
    drawn = sampler.sample([prompt.ids] * SAMPLED, first=0)
    texts = [written(drawn.answer(row)) for row in range(SAMPLED)]
    golds = gold(texts)
    proxy, accuracy = proxy_of(texts, golds, arguments, seed, folder)
    proxies = proxy(texts)

    def standard(judge: Callable[[Sequence[str]], np.ndarray], of: np.ndarray) -> Callable[..., list[float]]:
        middle, spread = of.mean(), of.std()
        return lambda prompts, completions: list((judge(completions) - middle) / spread)

    config = PPOConfig(
        answers=256, minibatch=128, epochs=4, max_new_tokens=LONGEST, kl=arguments.cost, gae_lambda=0.95,
        value_coefficient=0.5,
    )  # fmt: skip
    task = Task(
        prompts=[prompt], reward=ModelReward(standard(proxy, proxies), "proxy"),
        gold=CallableReward(standard(gold, golds), name="gold"), decode=written, stop_ids=frozenset([END]),
    )  # fmt: skip
    method = PPO(config)
    reference = frozen(copy.deepcopy(model))
    policy = ActorCritic(model)
    source = RolloutSource(policy, task, method, reference, seed=seed)
    steps = arguments.rounds * config.batches
    schedule = ScheduleConfig(kind="constant", warmup=0.0)
    plan = replace(loop(steps, arguments.rate, seed), schedule=schedule)
    history = train(policy, method, source, plan, out=folder / "ppo").history
    rounds = list({record["round"]: record for record in history}.values())
    keys = {"kl": "rollout/kl", "proxy": "rollout/reward", "gold": "rollout/gold", "clipped": "ratio/clipped"}
    curves = {name: [record[key] for record in rounds] for name, key in keys.items()}
    return {"seed": seed, "accuracy": accuracy, **curves}


def summed(found: Mapping[str, object]) -> dict[str, float]:
    """The figures of one seed."""
    kl, proxy, gold = (np.array(found[name], dtype=float) for name in ("kl", "proxy", "gold"))
    smooth = np.convolve(gold, np.ones(3) / 3, "valid")  # three rounds, so that no single lucky one counts
    near = np.convolve(kl, np.ones(3) / 3, "valid") <= NEAR
    peak = int(smooth.argmax())
    return {
        "accuracy": float(found["accuracy"]),  # type: ignore[arg-type]
        "gold_near": float(smooth[near].max()),
        "gold_peak": float(smooth[peak]),
        "kl_peak": float(kl[peak + 1]),
        "gold_end": float(gold[-3:].mean()),
        "proxy_end": float(proxy[-3:].mean()),
        "kl_end": float(kl[-3:].mean()),
    }


def write_page(path: Path, curves: Sequence[Mapping[str, object]], arguments: argparse.Namespace) -> None:
    """The curves over the square root of the divergence."""
    page = Page("Over-optimisation", f"{arguments.pairs} pairs, {arguments.flips:.0%} of the labels wrong")
    page.section("Reward over divergence", "Deviations of the starting policy's answers; one point a round.")
    for found in curves:
        x = np.sqrt(np.maximum(np.array(found["kl"], dtype=float), 0))
        series = [Series(name, x, np.array(found[name], dtype=float)) for name in ("proxy", "gold")]
        svg = line(series, x="square root of the divergence (nats)", y="deviations")
        page.figures(Figure(svg, f"Seed {found['seed']}: PPO sees the proxy alone."))
    page.write(path)


def main(argv: Sequence[str] | None = None) -> list[dict[str, float]]:
    """Run all seeds, print a table, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--pairs", type=int, default=1500)
    parser.add_argument("--flips", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--cost", type=float, default=0.01)
    parser.add_argument("--rate", type=float, default=0.003)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args(argv)
    curves, rows = [], []
    print("| seed | proxy right | gold at 10 nats | gold's peak | at nats | gold at the end | proxy | nats |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder, hushed():
            curves.append(climb(arguments, seed, Path(folder)))
        row = summed(curves[-1])
        rows.append(row)
        cells = (f"{row[name]:.2f}" for name in row)
        print(f"| {seed} | {' | '.join(cells)} |", flush=True)
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "curves.json").write_text(json.dumps(curves), encoding="utf-8")
        write_page(arguments.out / "overoptimisation.html", curves, arguments)
    return rows


if __name__ == "__main__":
    main()
