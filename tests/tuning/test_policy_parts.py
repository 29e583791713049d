"""Advantages, losses, sampling and its log-probabilities, each against an independent derivation."""

import copy
import math

import numpy as np
import pytest
import torch
from policy_parts import END, LONGEST, PROMPT, micro_model, reward_of, sequences, written

from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.surgery import attach
from shizuku.errors import ConfigError
from shizuku.inference.sampling import SamplingConfig
from shizuku.tuning.policy.advantages import (
    DivergenceCost,
    divergence,
    explained_variance,
    generalised_advantages,
    group_advantages,
    token_rewards,
    whiten,
)
from shizuku.tuning.policy.config import GRPOConfig, PPOConfig
from shizuku.tuning.policy.critic import VALUE, ActorCritic
from shizuku.tuning.policy.forward import AnswerBatch, policy_logprobs
from shizuku.tuning.policy.grpo import GRPO
from shizuku.tuning.policy.negative_divergence import FALSE_ALARMS, explain_negative, least_by_chance
from shizuku.tuning.policy.ppo import PPO, clipped_value_losses
from shizuku.tuning.policy.ratios import clipped_policy_losses
from shizuku.tuning.policy.rewards import CallableReward
from shizuku.tuning.policy.rollouts import Prompt, Rollouts, Sampler
from shizuku.tuning.policy.source import RolloutSource, Task, frozen

OWN = f"adapter:{VALUE}"
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], dtype=bool)


def numbers(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=MASK.shape)


@pytest.mark.parametrize(("discount", "gae_lambda"), [(1.0, 0.95), (0.9, 0.5), (0.9, 0.0), (0.9, 1.0)])
def test_advantages_are_sums_of_later_errors_by_brute_force(discount, gae_lambda) -> None:
    rewards, values = numbers(1), numbers(2)
    advantages, returns = generalised_advantages(
        rewards, values, MASK, discount=discount, gae_lambda=gae_lambda
    )
    for row, length in enumerate(MASK.sum(1)):
        for at in range(length):
            expected = 0.0
            for later in range(at, length):
                following = values[row, later + 1] if later + 1 < length else 0.0
                error = rewards[row, later] + discount * following - values[row, later]
                expected += (discount * gae_lambda) ** (later - at) * error
            assert advantages[row, at] == pytest.approx(expected, abs=1e-12)
            assert returns[row, at] == pytest.approx(expected + values[row, at], abs=1e-12)
    assert not advantages[~MASK].any() and not returns[~MASK].any()


def test_at_lambda_one_an_advantage_is_the_discounted_rest_less_the_value() -> None:
    rewards, values = numbers(1), numbers(2)
    advantages, _ = generalised_advantages(rewards, values, MASK, discount=1.0, gae_lambda=1.0)
    assert advantages[0] == pytest.approx(rewards[0, ::-1].cumsum()[::-1] - values[0])


def test_whitened_numbers_have_deviation_one_and_keep_their_mean_if_asked() -> None:
    values = 3 + 2 * numbers()
    shifted, kept = whiten(values, MASK), whiten(values, MASK, shift_mean=False)
    assert shifted[MASK].mean() == pytest.approx(0, abs=1e-12) and shifted[MASK].std() == pytest.approx(1)
    assert kept[MASK].mean() == pytest.approx(values[MASK].mean()) and kept[MASK].std() == pytest.approx(1)
    assert not shifted[~MASK].any() and not kept[~MASK].any()


def test_groups_are_compared_within_themselves() -> None:
    rewards = np.array([1.0, 0.0, 0.0, 0.0, 5.0, 5.0, 5.0, 5.0])
    plain = group_advantages(rewards, 4, divide_by_deviation=False)
    assert plain.tolist() == [0.75, -0.25, -0.25, -0.25, 0, 0, 0, 0]
    divided = group_advantages(rewards, 4)
    assert divided[:4] == pytest.approx(np.array([0.75, -0.25, -0.25, -0.25]) / (0.5 + 1e-4))
    assert not divided[4:].any()


def test_the_score_comes_with_the_last_token_and_the_penalty_with_every_one() -> None:
    penalties, scores = np.abs(numbers()), np.array([1.0, 2.0, 3.0])
    rewards = token_rewards(scores, penalties, MASK)
    assert rewards[0, 4] == pytest.approx(1 - penalties[0, 4]) and rewards[0, 3] == -penalties[0, 3]
    assert rewards[1, 2] == pytest.approx(2 - penalties[1, 2]) and rewards[2, 0] == 3 - penalties[2, 0]
    assert not rewards[~MASK].any()
    assert rewards.sum(1) == pytest.approx(scores - np.where(MASK, penalties, 0).sum(1))


def test_both_estimates_average_to_the_divergence() -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    true = float((p * np.log(p / q)).sum())
    for estimator in ("k1", "k3"):
        each = divergence(np.log(p), np.log(q), estimator)
        assert float((p * each).sum()) == pytest.approx(true)
        assert estimator == "k1" or (each >= 0).all()


def test_the_cost_of_divergence_is_steered_towards_the_target() -> None:
    cost = DivergenceCost(0.1, target=6.0, horizon=1000)
    cost.update(6.6, 100)  # a tenth above the target
    assert cost.cost == pytest.approx(0.1 * (1 + 0.1 * 100 / 1000))
    cost.update(1e6, 100)  # clipped at a fifth
    assert cost.cost == pytest.approx(0.101 * (1 + 0.2 * 100 / 1000))
    fixed = DivergenceCost(0.1)
    fixed.update(100.0, 100)
    assert fixed.cost == 0.1


def test_what_the_values_explain() -> None:
    returns = numbers(3)
    assert explained_variance(returns, returns, MASK) == pytest.approx(1)
    assert explained_variance(np.zeros(MASK.shape), returns, MASK) == pytest.approx(0)
    assert explained_variance(-returns, returns, MASK) == pytest.approx(-3)


def test_losses_are_clipped_on_the_side_that_would_gain() -> None:
    ratios, advantages = torch.tensor([1.5, 1.5, 0.5, 0.5]), torch.tensor([2.0, -2.0, 2.0, -2.0])
    losses, found = clipped_policy_losses(ratios.log(), torch.zeros(4), advantages, 0.2)
    assert torch.allclose(losses, torch.tensor([-2.4, 3.0, -1.0, 1.6])) and torch.allclose(found, ratios)
    values = clipped_value_losses(torch.tensor([1.0, 0.1]), torch.zeros(2), torch.tensor([0.5, 1.0]), 0.2)
    assert torch.allclose(values, torch.tensor([0.5 * 0.5**2, 0.5 * 0.9**2]))


# ---- sampling


def sampler(model, temperature=1.0, seed=0, **sampling) -> Sampler:
    config = SamplingConfig(temperature=temperature, seed=seed, **sampling)
    return Sampler(model, sampling=config, max_new_tokens=LONGEST, stop_ids=frozenset([END]))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_engine_gives_the_log_probabilities_of_the_training_forward(temperature) -> None:
    model = micro_model()
    rollouts = sampler(model, temperature).sample([PROMPT.ids] * 64, first=0)
    expected = {tuple(ids): None for ids in sequences()}
    for row in range(64):
        ids = rollouts.answer(row)
        assert tuple(ids) in expected and rollouts.finished_B[row] == (ids[-1] == END)
        logits = model(torch.tensor([[*PROMPT.ids, *ids[:-1]]]))[0].double() / temperature
        logp = logits.log_softmax(-1)[torch.arange(len(ids)), ids]
        assert np.abs(rollouts.engine_BA[row, : len(ids)] - logp.detach().numpy()).max() < 1e-4


def test_answers_follow_the_weights_and_depend_on_seed_and_number_alone() -> None:
    model = micro_model()
    drawing = sampler(model)
    first = drawing.sample([PROMPT.ids] * 8, first=0)
    again = drawing.sample([PROMPT.ids] * 4, first=4)
    assert [again.answer(row) for row in range(4)] == [first.answer(row) for row in range(4, 8)]
    with torch.no_grad():
        model.embedding.weight[2].mul_(-3)
    moved = drawing.sample([PROMPT.ids] * 8, first=0)
    fresh = sampler(model).sample([PROMPT.ids] * 8, first=0)
    assert np.array_equal(moved.ids_BA, fresh.ids_BA) and not np.array_equal(moved.engine_BA, first.engine_BA)


@pytest.mark.parametrize(
    "warper", [{"top_k": 2}, {"top_p": 0.9}, {"min_p": 0.1}, {"repetition_penalty": 1.2}]
)
def test_warpers_are_refused_with_the_reason(warper) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(warper))}.*negative"):
        sampler(micro_model(), **warper)
    with pytest.raises(ConfigError, match="drawn"):
        sampler(micro_model(), temperature=0.0)


def test_a_round_comes_back_from_json_exactly() -> None:
    import json

    rollouts = sampler(micro_model()).sample([PROMPT.ids] * 4, first=0)
    back = Rollouts.from_state(json.loads(json.dumps(rollouts.state_dict())))
    assert np.array_equal(back.engine_BA, rollouts.engine_BA) and back.mask_BA.dtype == bool
    assert back.prompts == rollouts.prompts and back.engine_BA.dtype == np.float32


# ---- a negative estimate


def figures(**changes: float) -> dict[str, float]:
    plain = {"rollout/kl": -0.5, "rollout/kl_error": 0.05, "rollout/kl_k3": 0.2, "rollout/engine_gap": 1e-6}
    return plain | {f"rollout/{name}": value for name, value in changes.items()}


def test_a_negative_divergence_is_explained_by_what_the_figures_show() -> None:
    many = {"answers": 64, "turn": 1}
    assert explain_negative(figures(kl=0.1), **many) is None
    assert "cause: chance" in str(explain_negative(figures(kl=-0.05), **many))
    assert "top-k" in str(explain_negative(figures(engine_gap=0.3), **many))
    said = str(explain_negative(figures(), adapted=True, **many))
    assert "more than chance" in said and "adapter's base" in said and "0.2000" in said
    few = figures(kl=-0.0064, kl_error=0.0027)
    assert "cause: chance" in str(explain_negative(few, answers=8, turn=3))


@pytest.mark.parametrize("answers", [2, 8, 64])
def test_chance_alone_is_told_as_more_in_few_runs_of_many_rounds(answers) -> None:
    draw, rounds, runs = np.random.default_rng(3), 20, 1000
    p, q = np.array([0.6, 0.3, 0.1]), np.array([0.05, 0.05, 0.9])
    seen = draw.choice(3, p=p, size=(runs, rounds, answers))
    means = np.log(p / q)[seen].mean(-1)
    low = np.array([least_by_chance(answers, turn) for turn in range(1, rounds + 1)])
    assert (means < low).any(1).mean() <= FALSE_ALARMS
    assert (np.diff(low) < 0).all() and least_by_chance(10_000, 1) > -0.001


def test_a_warped_engine_makes_the_estimate_negative_and_is_named(capsys) -> None:
    """What others' users met (trl issue 1857): answers from a cut distribution, measured on the whole one."""
    model = micro_model()
    reference = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.mul_(1.3)  # sharper than the policy
    task = Task(
        prompts=[PROMPT], reward=CallableReward(lambda prompts, completions: [0.0] * len(prompts)),
        decode=written, stop_ids=frozenset([END]),
    )  # fmt: skip
    method = PPO(PPOConfig(answers=64, minibatch=64, max_new_tokens=LONGEST))
    source = RolloutSource(ActorCritic(model), task, method, frozen(reference))
    source.sampler._sampling = SamplingConfig(top_k=1)
    _, found = source.answered([0] * 64)
    assert found["rollout/kl"] < 0 < found["rollout/kl_k3"]
    assert "more than chance" in str(explain_negative(found, answers=64, turn=1))


# ---- objectives


def batch_of(model, *, rows: int = 3, temperature: float = 1.0) -> AnswerBatch:
    """Rows with two prompt tokens and answers of 3, 2 and 1 tokens, everything else at random."""
    draw = torch.Generator().manual_seed(5)
    ids = torch.randint(0, 4, (rows, 5), generator=draw)
    mask = torch.zeros(rows, 4, dtype=torch.bool)
    segments = torch.full((rows, 4), -1)
    for row in range(rows):
        mask[row, 1 : 4 - row], segments[row, : 4 - row] = True, 0
    logp = torch.zeros(rows, 4)
    empty = torch.zeros(rows, 4)
    batch = AnswerBatch(ids[:, :-1], ids[:, 1:], mask, segments, logp, logp, empty, empty, empty)
    with torch.no_grad():
        logp[mask] = policy_logprobs(model, batch, temperature=temperature)[0]
    noise = [torch.randn(rows, 4, generator=draw) * mask for _ in range(5)]
    return AnswerBatch(
        batch.ids_BT, batch.targets_BT, mask, segments, logp + 0.3 * noise[0], logp + 0.3 * noise[1],
        noise[2], noise[3], noise[4],
    )  # fmt: skip


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_have_the_values_and_gradients_of_autograd(temperature) -> None:
    model = micro_model()
    batch = batch_of(model)
    weights = torch.randn(6, generator=torch.Generator().manual_seed(2))
    found = []
    for function in (False, True):
        model.zero_grad(set_to_none=True)
        logp, entropy, _ = policy_logprobs(model, batch, temperature=temperature, entropy_gradient=function)
        (logp * weights).sum().backward()
        gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        found.append((logp.detach(), entropy.detach(), gradients))
    for ours, autograd in zip(*found, strict=True):
        assert torch.allclose(ours, autograd, rtol=1e-4, atol=1e-6)


def test_ppo_sums_what_the_papers_write_token_by_token() -> None:
    model = ActorCritic(micro_model())
    torch.nn.init.normal_(model.critic.head.weight, generator=torch.Generator().manual_seed(1))
    batch = batch_of(model.decoder, temperature=0.7)
    config = PPOConfig(temperature=0.7, entropy_coefficient=0.01)
    sums = PPO(config).loss(model, batch)
    policy = value = entropy = 0.0
    for row, length in enumerate((4, 3, 2)):
        ids = batch.ids_BT[row : row + 1, :length]
        logp = (model.decoder(ids)[0].detach() / 0.7).log_softmax(-1)
        values = model.critic(ids)[0, :, 0].detach()
        for at in range(1, length):
            new = logp[at, batch.targets_BT[row, at]]
            ratio, advantage = math.exp(new - batch.logp_BT[row, at]), float(batch.advantages_BT[row, at])
            policy -= min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
            old, target, now = (
                float(x) for x in (batch.values_BT[row, at], batch.returns_BT[row, at], values[at])
            )
            kept = old + min(max(now - old, -0.2), 0.2)
            value += 0.5 * max((now - target) ** 2, (kept - target) ** 2)
            entropy -= float((logp[at].exp() * logp[at]).sum())
    assert sums["policy"].item() == pytest.approx(policy, rel=1e-5)
    assert sums["value"].item() == pytest.approx(value, rel=1e-5)
    assert sums["entropy"].item() == pytest.approx(entropy, rel=1e-5)
    assert PPO(config).counts(batch) == dict.fromkeys(("policy", "value", "entropy"), 6)


def test_grpo_has_the_loss_of_trl() -> None:
    """`bnpo` in trl is the mean over all tokens; its own arithmetic, copied nowhere, is called."""
    trl = pytest.importorskip("trl.trainer.grpo_trainer")
    from collections import defaultdict
    from types import SimpleNamespace

    model = micro_model()
    batch = batch_of(model)
    config = GRPOConfig(kl=0.04)
    sums = GRPO(config).loss(model, batch)
    ours = (sums["policy"] + config.kl * sums["kl"]) / batch.mask_BT.sum()

    # trl counts a row's answer from a place common to all rows: here behind the first two tokens.
    logp = torch.zeros(3, 4)
    logp[batch.mask_BT] = policy_logprobs(model, batch, temperature=1.0)[0]
    own = [tensor[:, 1:] for tensor in (batch.mask_BT.long(), logp, batch.logp_BT, batch.reference_BT)]
    mask, new, old, reference = own
    advantage = torch.tensor([0.5, -1.0, 2.0])
    spread = batch.advantages_BT * 0 + advantage[:, None]
    ours_sums = GRPO(config).loss(model, AnswerBatch(**{**batch.tensors(), "advantages_BT": spread}))
    ours = (ours_sums["policy"] + config.kl * ours_sums["kl"]) / batch.mask_BT.sum()
    accelerator = SimpleNamespace(gather=lambda x: x, reduce=lambda x, reduction: x, num_processes=1)
    fake = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *args, **kwargs: (new, torch.zeros_like(new), None),
        accelerator=accelerator, beta=config.kl, loss_type="bnpo", top_entropy_quantile=1.0,
        epsilon_low=0.2, epsilon_high=0.2, importance_sampling_level="token", use_vllm=False,
        vllm_importance_sampling_correction=False, off_policy_mask_threshold=None,
        use_bias_correction_kl=False, current_gradient_accumulation_steps=1, tools=None,
        model=SimpleNamespace(training=True), _metrics={"train": defaultdict(list)},
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False), aux_loss_enabled=False,
        _entropy_bonus_enabled=False,
    )  # fmt: skip
    inputs = {
        "prompt_ids": batch.ids_BT[:, :2], "prompt_mask": torch.ones(3, 2, dtype=torch.long),
        "completion_ids": batch.targets_BT[:, 1:], "completion_mask": mask, "advantages": advantage,
        "ref_per_token_logps": reference, "old_per_token_logps": old, "num_items_in_batch": mask.sum(),
    }  # fmt: skip
    theirs = trl.GRPOTrainer._compute_loss(fake, None, inputs)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


# ---- critics


def trained(model: ActorCritic) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_a_critic_beside_an_adapter_is_an_adapter_and_neither_moves_the_other() -> None:
    model = micro_model()
    attach(model, AdapterConfig(rank=2), seed=0)
    pair = ActorCritic(model, "separate")
    names = trained(pair)
    assert all("pairs" in name or name == "head.weight" for name in names)
    assert any(OWN in name for name in names) and any("default" in name for name in names)
    batch = batch_of(model)
    torch.nn.init.normal_(pair.head.weight)
    logp, _, x = policy_logprobs(model, batch, temperature=1.0)
    pair.values(batch, x).sum().backward()
    moved = {name for name, parameter in pair.named_parameters() if parameter.grad is not None}
    assert moved and all(OWN in name or name == "head.weight" for name in moved)
    pair.zero_grad(set_to_none=True)
    logp.sum().backward()
    moved = {name for name, parameter in pair.named_parameters() if parameter.grad is not None}
    assert moved and not any(OWN in name or name == "head.weight" for name in moved)
    assert set(pair.beside()) == {name for name in names if OWN in name or name == "head.weight"}


def test_a_shared_critic_reads_the_policys_own_stream() -> None:
    pair = ActorCritic(micro_model(), "shared")
    torch.nn.init.normal_(pair.head.weight, generator=torch.Generator().manual_seed(0))
    batch = batch_of(pair.decoder)
    _, _, x = policy_logprobs(pair.decoder, batch, temperature=1.0)
    expected = (x @ pair.head.weight[0])[batch.mask_BT]
    assert torch.allclose(pair.values(batch, x), expected, atol=1e-5 * float(expected.detach().std()))


def test_rewards_see_prompts_rows_and_text_and_rounds_go_through_all_prompts() -> None:
    seen: list[tuple[list, list, list]] = []

    def reward(prompts, completions, records):
        seen.append((prompts, completions, records))
        return [reward_of(text) for text in completions]

    prompts = [Prompt([0, number % 3], str(number), {"row": number}) for number in range(6)]
    task = Task(prompts=prompts, reward=CallableReward(reward), decode=written, stop_ids=frozenset([END]))
    method = GRPO(GRPOConfig(answers=8, minibatch=4, group=2, max_new_tokens=LONGEST))
    model = micro_model()
    source = RolloutSource(model, task, method, frozen(copy.deepcopy(model)))
    for _ in range(6):
        source.next()
    asked = [text for round_ in seen for text in round_[0]]
    assert len(seen) == 3 and asked[::2] == asked[1::2]  # groups are neighbours
    assert sorted(asked[:12:2]) == ["0", "1", "2", "3", "4", "5"]
    assert [row["row"] for row in seen[0][2]] == [int(text) for text in seen[0][0]]
