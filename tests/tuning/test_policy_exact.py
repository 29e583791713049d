"""PPO and GRPO where all answers can be enumerated: the closed-form optimum is reached."""

import json

import numpy as np
import pytest
from policy_parts import (
    LONGEST,
    apart,
    distribution,
    exact_config,
    judged,
    loop,
    micro_model,
    optimum,
    reward_of,
    run_grpo,
    run_ppo,
    sequences,
    written,
)

from shizuku.tuning.policy.config import GRPOConfig


def rewards() -> np.ndarray:
    return np.array([reward_of(written(ids)) for ids in sequences()])


def test_the_enumeration_is_whole() -> None:
    assert distribution(micro_model(), 0.7).sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
def test_ppo_reaches_the_closed_form_optimum(tmp_path) -> None:
    """Total variation at most 0.05 from reference · exp(reward / cost) / Z, from above 0.3."""
    model, config = micro_model(0), exact_config()
    reference = distribution(model, config.temperature)
    best = optimum(reference, rewards(), config.kl)
    assert apart(reference, best) > 0.3
    run_ppo(model, config, tmp_path / "run", reward=judged, loop_config=loop(640, 0.003))
    assert apart(distribution(model, config.temperature), best) < 0.05


@pytest.mark.parametrize(("critic", "entropy"), [("separate", 0.0), ("shared", 0.01)])
def test_the_first_batch_of_every_round_has_ratio_one_and_the_engine_agrees(
    tmp_path, critic, entropy
) -> None:
    config = exact_config(answers=64, minibatch=32, epochs=2, critic=critic, entropy_coefficient=entropy)
    result, _ = run_ppo(micro_model(1), config, tmp_path / "run", reward=judged, loop_config=loop(12, 0.003))
    first = [record for record in result.history if (record["step"] - 1) % 4 == 0]
    later = [record for record in result.history if (record["step"] - 1) % 4]
    assert [record["round"] for record in first] == [1, 2, 3]
    for record in first:
        assert record["ratio/furthest"] < 1e-6 and record["ratio/variance"] < 1e-12
        assert record["rollout/engine_gap"] < 1e-4
    assert all(record["ratio/furthest"] > 1e-4 for record in later)
    wanted = {
        "rollout/reward", "rollout/kl", "rollout/kl_k3", "rollout/kl_cost", "rollout/length", "rollout/ended",
        "rollout/value_explained", "ratio/mean", "ratio/variance", "ratio/max", "ratio/clipped", "entropy",
    }  # fmt: skip
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert all(wanted <= json.loads(line).keys() for line in lines)


def test_the_value_model_learns_what_is_to_be_expected(tmp_path) -> None:
    config = exact_config(answers=256, minibatch=64, temperature=1.0, value_clip=10.0, value_coefficient=1.0)
    result, _ = run_ppo(micro_model(0), config, tmp_path / "run", reward=judged, loop_config=loop(64, 0.003))
    assert result.history[0]["rollout/value_explained"] == 0.0
    assert result.history[-1]["rollout/value_explained"] > 0.1


def test_grpo_finds_the_best_answers(tmp_path) -> None:
    model = micro_model(0)
    config = GRPOConfig(answers=64, minibatch=64, group=64, max_new_tokens=LONGEST, kl=0.02, epochs=2)
    before = float((distribution(model) * rewards()).sum())
    run_grpo(model, config, tmp_path / "run", reward=judged, loop_config=loop(40, 0.01))
    after = float((distribution(model) * rewards()).sum())
    assert after > before + 0.5 * (rewards().max() - before)
