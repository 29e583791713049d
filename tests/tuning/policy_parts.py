"""A decoder over four tokens whose answers of at most three tokens can all be enumerated.

Legend: `S` sequences.
"""

import copy
import itertools
from pathlib import Path

import numpy as np
import torch

from shizuku.inference.sampling import uniform_for
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.training.config import LoopConfig, OptimizerConfig, ScheduleConfig
from shizuku.training.loop import train
from shizuku.training.result import TrainResult
from shizuku.tuning.policy.config import GRPOConfig, PPOConfig
from shizuku.tuning.policy.critic import ActorCritic
from shizuku.tuning.policy.grpo import GRPO
from shizuku.tuning.policy.ppo import PPO
from shizuku.tuning.policy.rewards import CallableReward
from shizuku.tuning.policy.rollouts import Prompt
from shizuku.tuning.policy.source import RolloutSource, Task, frozen

END, LONGEST = 3, 3
PROMPT = Prompt([0], "0")


def micro_model(seed: int = 0, *, vocab_size: int = 4, context: int = 16, width: int = 16) -> Decoder:
    """A random decoder over so few tokens that its distribution is far from even."""
    config = DecoderConfig(
        vocab_size=vocab_size, context=context, width=width, layers=1, heads=2, ffn_width=2 * width
    )
    model = Decoder(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + noise / 4 if parameter.dim() == 1 else noise / parameter.shape[-1] ** 0.5)
        model.embedding.weight.mul_(0.6)
    return model


def written(ids: object) -> str:
    """An answer as the reward reads it: its tokens as digits."""
    return "".join(str(int(token)) for token in ids)  # type: ignore[attr-defined]


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
    schedule = ScheduleConfig(kind="cosine", warmup=0.0)
    values = {"log_every": 1, "save_minutes": None, "check_memory": False} | changes
    return LoopConfig(steps=steps, optimizer=optimizer, schedule=schedule, **values)  # type: ignore[arg-type]


def run_ppo(
    model: Decoder, config: PPOConfig, out: Path, *, reward: object, loop_config: LoopConfig, seed: int = 0
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


def run_grpo(
    model: Decoder, config: GRPOConfig, out: Path, *, reward: object, loop_config: LoopConfig, seed: int = 0
) -> tuple[TrainResult, RolloutSource]:
    """The same with GRPO."""
    method = GRPO(config)
    task = Task(
        prompts=[PROMPT],
        reward=CallableReward(reward),
        decode=written,
        stop_ids=frozenset([END]),  # type: ignore[arg-type]
    )
    source = RolloutSource(model, task, method, frozen(copy.deepcopy(model)), seed=seed)
    return train(model, method, source, loop_config, out=out), source
