"""PPO where everything can be counted: it reaches the optimum, reference · exp(reward / cost) / Z.

    python recipes/enumerable_ppo.py [--seeds 0 1 2] [--rounds 40] [--cost 0.5] [--temperature 0.7]

A decoder over four tokens, one of which ends an answer, gives answers of at most three tokens: there are 40,
each with a known random reward, so that the distribution that PPO should end at can be written down. PPO runs
as it does on any model: answers from the engine, batches through the one loop. Printed is the total variation
between policy and optimum, before and after, and what of the possible gain in reward less cost was reached.

Legend: `S` sequences.
"""

import argparse
import copy
import itertools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from shizuku.inference.sampling import uniform_for
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.progress import hushed
from shizuku.training.config import LoopConfig, OptimizerConfig, ScheduleConfig
from shizuku.training.loop import train
from shizuku.training.result import TrainResult
from shizuku.tuning.policy.config import PPOConfig
from shizuku.tuning.policy.critic import ActorCritic
from shizuku.tuning.policy.ppo import PPO
from shizuku.tuning.policy.rewards import CallableReward
from shizuku.tuning.policy.rollouts import Prompt
from shizuku.tuning.policy.source import RolloutSource, Task, frozen

END, LONGEST = 3, 3
SHARPNESS = 0.6
PROMPT = Prompt([0], "0")


def micro_model(seed: int = 0, *, vocab_size: int = 4, context: int = 16, width: int = 32) -> Decoder:
    """A random decoder that can have any distribution over its few tokens.

    Learned positions, as one layer of attention over equal tokens could not tell how many there are.
    """
    config = DecoderConfig(
        vocab_size=vocab_size,
        context=context,
        width=width,
        layers=1,
        heads=2,
        ffn_width=4 * width,
        tie_embeddings=False,
        positions="learned",
    )
    model = Decoder(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + noise / 4 if parameter.dim() == 1 else noise / parameter.shape[-1] ** 0.5)
        model.unembedding_weight_VD.mul_(SHARPNESS)
    return model


def written(ids: Sequence[int]) -> str:
    """An answer as the reward reads it: its tokens as digits."""
    return "".join(str(int(token)) for token in ids)


def sequences() -> list[list[int]]:
    """Every answer there is: up to three tokens, the last of which may be the end."""
    found = []
    for length in range(1, LONGEST + 1):
        for ids in itertools.product(range(4), repeat=length):
            if END not in ids[:-1] and (ids[-1] == END or length == LONGEST):
                found.append(list(ids))
    return found


@torch.no_grad()
def distribution(model: Decoder, temperature: float = 1.0) -> np.ndarray:
    """The probability [S] of each of `sequences()`."""
    found = []
    for ids in sequences():
        logits_TV = model(torch.tensor([[*PROMPT.ids, *ids[:-1]]]))[0].double() / temperature
        logp_T = logits_TV.log_softmax(-1)[torch.arange(len(ids)), ids]
        found.append(float(logp_T.sum().exp()))
    return np.array(found)


def reward_of(text: str, seed: int = 0) -> float:
    """A number from -1 to 1 that an answer's tokens settle."""
    return 2 * uniform_for(seed, int(text, 4), len(text)) - 1


def optimum(reference_S: np.ndarray, rewards_S: np.ndarray, cost: float) -> np.ndarray:
    """What maximises the reward less `cost` times the divergence: reference · exp(reward / cost) / Z."""
    weighted_S = reference_S * np.exp(rewards_S / cost)
    best_S: np.ndarray = weighted_S / weighted_S.sum()
    return best_S


def loop(steps: int, rate: float, **changes: object) -> LoopConfig:
    """AdamW at a rate that falls, as PPO is trained."""
    optimizer = OptimizerConfig(
        kind="adamw", learning_rate=rate, embedding_learning_rate=None, weight_decay=0.0,
        betas=(0.9, 0.99), eps=1e-5,
    )  # fmt: skip
    schedule = ScheduleConfig(kind="wsd", warmup=0.0, decay=0.5)
    values = {"log_every": 1, "save_minutes": None, "check_memory": False} | changes
    return LoopConfig(steps=steps, optimizer=optimizer, schedule=schedule, **values)  # type: ignore[arg-type]


def task_of(reward: Callable[..., object]) -> Task:
    """The one prompt, judged by `reward`."""
    judge = CallableReward(reward)
    return Task(prompts=[PROMPT], reward=judge, decode=written, stop_ids=frozenset([END]))


def run_ppo(
    model: Decoder,
    config: PPOConfig,
    out: Path,
    *,
    reward: Callable[..., object],
    loop_config: LoopConfig,
    seed: int = 0,
) -> tuple[TrainResult, RolloutSource]:
    """PPO on the one prompt through the real engine and the real loop; `model` is trained in place."""
    reference = frozen(copy.deepcopy(model))
    policy = ActorCritic(model, config.critic)
    method = PPO(config)
    task = Task(
        prompts=[PROMPT],
        reward=CallableReward(reward),
        decode=written,
        stop_ids=frozenset([END]),  # type: ignore[arg-type]
    )
    source = RolloutSource(policy, task, method, reference, seed=seed)
    return train(policy, method, source, loop_config, out=out), source


def apart(p_S: np.ndarray, q_S: np.ndarray) -> float:
    """Total variation between two distributions."""
    return float(np.abs(p_S - q_S).sum() / 2)


def exact_config(**changes: object) -> PPOConfig:
    """PPO as it is exact: rewards as they are, advantages without bias."""
    values = {
        "answers": 512, "minibatch": 128, "epochs": 4, "max_new_tokens": LONGEST, "temperature": 0.7,
        "kl": 0.5, "gae_lambda": 1.0, "value_coefficient": 0.5, "whiten_advantages": False,
    } | changes  # fmt: skip
    return PPOConfig(**values)  # type: ignore[arg-type]


def judged(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
    """The known reward of each answer."""
    return [reward_of(text) for text in completions]


def main(argv: Sequence[str] | None = None) -> list[dict[str, float]]:
    """Run PPO for each seed and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--cost", type=float, default=0.5)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--rate", type=float, default=0.003)
    arguments = parser.parse_args(argv)
    config = exact_config(kl=arguments.cost, temperature=arguments.temperature)
    rewards_S = np.array([reward_of(written(ids)) for ids in sequences()])
    found = []
    print("| seed | total variation before | after | of the possible gain |\n|---:|---:|---:|---:|")
    for seed in arguments.seeds:
        model = micro_model(seed)
        start_S = distribution(model, config.temperature)
        best_S = optimum(start_S, rewards_S, config.kl)

        def gain(p_S: np.ndarray, start_S: np.ndarray = start_S) -> float:
            return float((p_S * (rewards_S - config.kl * np.log(p_S / start_S))).sum())

        with tempfile.TemporaryDirectory() as folder, hushed():
            steps = arguments.rounds * config.batches
            run_ppo(
                model, config, Path(folder) / "run", reward=judged,
                loop_config=loop(steps, arguments.rate), seed=seed,
            )  # fmt: skip
        end_S = distribution(model, config.temperature)
        share = (gain(end_S) - gain(start_S)) / (gain(best_S) - gain(start_S))
        found.append({"before": apart(start_S, best_S), "after": apart(end_S, best_S), "share": share})
        print(f"| {seed} | {found[-1]['before']:.3f} | {found[-1]['after']:.3f} | {share:.1%} |", flush=True)
    return found


if __name__ == "__main__":
    main()
