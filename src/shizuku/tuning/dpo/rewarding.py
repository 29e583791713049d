"""A reward that only measures: what it says of a model's own answers to held-out prompts."""

from collections.abc import Sequence

import numpy as np

from shizuku.checkpoints.names import resolve
from shizuku.tuning.dpo.distance import Drawn
from shizuku.tuning.pairs import PreferencePair
from shizuku.tuning.policy.rewards import ModelReward, Reward, is_callable_name, open_callable


def open_reward(where: str) -> Reward:
    """The function that MODULE:FUNCTION names, or a reward model; ConfigError or CheckpointError for none."""
    if is_callable_name(where):
        return open_callable(where, seconds=None)
    from shizuku.tuning.reward_scorer import RewardScorer

    return ModelReward(RewardScorer.load(resolve(where)), where)


def rewards_of(reward: Reward, pairs: Sequence[PreferencePair], answers: Sequence[Drawn]) -> np.ndarray:
    """The reward of each answer; a prompt of one turn is given as its text, others as turns."""
    prompts = [
        str(pair.prompt[0]["content"]) if len(pair.prompt) == 1 else list(pair.prompt) for pair in pairs
    ]
    records = [
        {"prompt": list(pair.prompt), "chosen": pair.chosen_text, "rejected": pair.rejected_text}
        for pair in pairs
    ]
    return np.asarray(reward(prompts, [answer.text for answer in answers], records), dtype=np.float64)
