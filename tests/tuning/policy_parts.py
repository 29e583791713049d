"""The recipe of PPO on answers that can be enumerated, for tests; and GRPO on them."""

import copy
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from shizuku.models.decoder import Decoder
from shizuku.training.config import LoopConfig
from shizuku.training.loop import train
from shizuku.training.result import TrainResult
from shizuku.tuning.policy.config import GRPOConfig
from shizuku.tuning.policy.grpo import GRPO
from shizuku.tuning.policy.source import RolloutSource, frozen


def recipe(name: str) -> ModuleType:
    """A file of recipes/ as a module."""
    path = Path(__file__).parents[2] / "recipes" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


enumerable = recipe("enumerable_ppo")
END, LONGEST, PROMPT = enumerable.END, enumerable.LONGEST, enumerable.PROMPT
apart, distribution, exact_config, judged = (
    enumerable.apart, enumerable.distribution, enumerable.exact_config, enumerable.judged,
)  # fmt: skip
loop, micro_model, optimum, reward_of = (
    enumerable.loop, enumerable.micro_model, enumerable.optimum, enumerable.reward_of,
)  # fmt: skip
run_ppo, sequences, written = enumerable.run_ppo, enumerable.sequences, enumerable.written


def run_grpo(
    model: Decoder, config: GRPOConfig, out: Path, *, reward: Callable[..., object], loop_config: LoopConfig,
    seed: int = 0,
) -> tuple[TrainResult, RolloutSource]:  # fmt: skip
    """GRPO on the one prompt; `model` is trained in place."""
    method = GRPO(config)
    source = RolloutSource(model, enumerable.task_of(reward), method, frozen(copy.deepcopy(model)), seed=seed)
    return train(model, method, source, loop_config, out=out), source
