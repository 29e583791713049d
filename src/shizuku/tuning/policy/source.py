"""Rounds of rollouts as a source of batches for the one loop: sample, judge, measure, then hand out batches.

Legend: `B` answers, `A` tokens of an answer, `T` tokens of a row.
"""

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from shizuku.adapters import surgery
from shizuku.config import differences, to_dict
from shizuku.errors import ConfigError, DocumentError
from shizuku.inference.sampling import SamplingConfig
from shizuku.models.decoder import Decoder
from shizuku.progress import say
from shizuku.tuning.policy.advantages import divergence
from shizuku.tuning.policy.config import RoundConfig
from shizuku.tuning.policy.critic import ActorCritic
from shizuku.tuning.policy.forward import AnswerBatch, policy_logprobs
from shizuku.tuning.policy.negative_divergence import explain_negative
from shizuku.tuning.policy.rewards import Reward
from shizuku.tuning.policy.rollouts import Decode, Prompt, Rollouts, Sampler

Reference = Callable[[], AbstractContextManager[Decoder]]
"""Opens the reference policy for a `with` block."""
OnRound = Callable[[int, Rollouts, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be learned: prompts, and what judges the answers to them."""

    prompts: Sequence[Prompt]
    """What is answered, round after round."""
    reward: Reward
    """What is learned from."""
    decode: Decode
    """Turns an answer's tokens into the text that is judged."""
    stop_ids: frozenset[int]
    """Tokens that end an answer."""
    gold: Reward | None = None
    """A second judge that is only recorded."""
    reference: str = ""
    """What names the reference exactly, so that a run goes on with the same one."""

    def record(self) -> dict[str, Any]:
        """What it is, as JSON values: a run that goes on has to have the same."""
        ids = json.dumps([list(map(int, prompt.ids)) for prompt in self.prompts])
        return {
            "prompts": hashlib.sha256(ids.encode()).hexdigest()[:16],
            "reward": self.reward.name,
            "gold": None if self.gold is None else self.gold.name,
            "reference": self.reference,
        }


class Method(Protocol):
    """What tells PPO from GRPO while rollouts are made."""

    answers_per_prompt: int
    entropy_gradient: bool
    """Whether the training forward wants gradients of entropies."""

    @property
    def config(self) -> RoundConfig:
        """Its settings."""
        ...

    def learn(self, rollouts: Rollouts) -> Mapping[str, float]:
        """Fill in advantages (and returns); returns figures for the log."""
        ...

    def state_dict(self) -> Mapping[str, Any]:
        """What it carries from round to round."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        ...


class RolloutSource:
    """Endless batches of answers: when a round's are used up, the next are sampled from `model` as it is."""

    def __init__(
        self,
        model: ActorCritic | Decoder,
        task: Task,
        method: Method,
        reference: Reference,
        *,
        seed: int = 0,
        on_round: OnRound | None = None,
    ) -> None:
        """Sample for `task` from `model`, the one that is trained; `on_round` sees each round's rollouts."""
        config = method.config
        self.model, self.task, self.method, self.reference = model, task, method, reference
        self.policy = model.decoder if isinstance(model, ActorCritic) else model
        self.seed, self.on_round = seed, on_round
        self.round, self._place = 0, 0
        """Rounds begun, and batches of this one handed out."""
        self._rollouts: Rollouts | None = None
        self._figures: dict[str, float] = {}
        if not task.prompts:
            raise DocumentError("there is no prompt to answer (--data)")
        self._longest = max(len(prompt.ids) for prompt in task.prompts)
        if self._longest + config.max_new_tokens > self.policy.config.context:
            raise ConfigError(
                f"--{config.FLAG}.max-new-tokens {config.max_new_tokens}: with the {self._longest} tokens of "
                f"the longest prompt that passes the model's window of {self.policy.config.context}"
            )
        sampling = SamplingConfig(temperature=config.temperature, seed=seed)
        self.sampler = Sampler(
            self.policy, sampling=sampling, max_new_tokens=config.max_new_tokens, stop_ids=task.stop_ids
        )

    @property
    def largest(self) -> tuple[int, int]:
        """Rows and tokens of the largest batch."""
        config = self.method.config
        return config.minibatch, self._longest + config.max_new_tokens - 1

    def next(self) -> AnswerBatch:
        """The next batch."""
        if self._rollouts is None or self._place == self.method.config.batches:
            self._begin_round()
        assert self._rollouts is not None, "a round was begun"
        rows = self._rows(self._place)
        self._place += 1
        return self._batch(self._rollouts, rows)

    def figures(self) -> dict[str, float]:
        """What the last round's answers were like."""
        return self._figures

    def state_dict(self) -> dict[str, Any]:
        """The round with all its answers, as JSON values."""
        return {
            **self._begun_with(),
            "round": self.round,
            "place": self._place,
            "rollouts": None if self._rollouts is None else self._rollouts.state_dict(),
            "figures": self._figures,
            "method": dict(self.method.state_dict()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken; ConfigError for another task, method or seed."""
        changed = [
            text
            for name, mine in self._begun_with().items()
            for text in differences(name, state.get(name), mine)
        ]
        if changed:
            raise ConfigError(
                f"--resume: this run was begun otherwise: {'; '.join(changed)}. Give the same prompts "
                "(--data), reward, reference and settings, or start anew with another --out"
            )
        self.round, self._place = int(state["round"]), int(state["place"])
        rollouts = state["rollouts"]
        self._rollouts = None if rollouts is None else Rollouts.from_state(rollouts)
        self._figures = dict(state["figures"])
        self.method.load_state_dict(state["method"])

    def _begun_with(self) -> dict[str, Any]:
        settings = to_dict(self.method.config)
        lasting = {key: settings[key] for key in settings.keys() - {"rounds", "reward_seconds"}}
        return json.loads(
            json.dumps({"seed": self.seed, "task": self.task.record(), self.method.config.FLAG: lasting})
        )

    # ---- one round

    def _begin_round(self) -> None:
        numbers = self._numbers(self.round)
        self.round, self._place = self.round + 1, 0
        rollouts, found = self.answered(numbers, first=(self.round - 1) * self.method.config.answers)
        found |= {"round": self.round, **self.method.learn(rollouts)}
        self._rollouts, self._figures = rollouts, found
        message = explain_negative(
            found,
            answers=self.method.config.answers,
            turn=self.round,
            adapted=surgery.is_adapted(self.policy),
        )
        if message:
            say(f"round {self.round:,}: {message}")
        if self.on_round is not None:
            self.on_round(self.round, rollouts, found)

    def answered(self, numbers: Sequence[int], *, first: int = 0) -> tuple[Rollouts, dict[str, float]]:
        """Answers to the prompts of these numbers, and what they are like; `first` settles what is drawn."""
        rollouts = self._judged(numbers, first)
        self._measure(rollouts)
        return rollouts, _described(rollouts)

    def text(self, rollouts: Rollouts, row: int) -> str:
        """What an answer says."""
        return self.task.decode(rollouts.answer(row))

    def _judged(self, numbers: Sequence[int], first: int) -> Rollouts:
        prompts = [self.task.prompts[number] for number in numbers]
        rollouts = self.sampler.sample([prompt.ids for prompt in prompts], first)
        rollouts.prompts = list(numbers)
        texts = [self.text(rollouts, row) for row in range(len(prompts))]
        asked = [prompt.text for prompt in prompts], texts, [prompt.record for prompt in prompts]
        rollouts.rewards_B = np.asarray(self.task.reward(*asked), dtype=np.float64)
        if self.task.gold is not None:
            rollouts.gold_B = np.asarray(self.task.gold(*asked), dtype=np.float64)
        return rollouts

    def _measure(self, rollouts: Rollouts) -> None:
        """Fill in log-probabilities of policy and reference, and values, as the training forward gives them.

        Rows go through in the batches of the first pass over them, with gradients on, as kernels round
        differently without: so the first batch meets the very numbers that it makes itself.
        """
        shape = rollouts.ids_BA.shape
        temperature = self.method.config.temperature
        critic = self.model if isinstance(self.model, ActorCritic) else None
        rollouts.logp_BA, rollouts.reference_BA = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        rollouts.values_BA = np.zeros(shape, np.float32)
        for rows in self._measured_rows(len(rollouts.prompts)):
            batch = self._batch(rollouts, rows)
            own_RA = rollouts.mask_BA[rows]
            with torch.enable_grad():
                logp_N, _, x_BTD = policy_logprobs(
                    self.policy, batch, temperature=temperature, entropy_gradient=self.method.entropy_gradient
                )
                values_N = None if critic is None else critic.values(batch, x_BTD)
            _fill(rollouts.logp_BA, rows, own_RA, logp_N)
            if values_N is not None:
                _fill(rollouts.values_BA, rows, own_RA, values_N)
            del logp_N, x_BTD, values_N
            with torch.no_grad(), self.reference() as reference:
                _fill(
                    rollouts.reference_BA,
                    rows,
                    own_RA,
                    policy_logprobs(reference, batch, temperature=temperature)[0],
                )

    def _measured_rows(self, answers: int) -> Iterator[list[int]]:
        config = self.method.config
        if answers == config.answers:
            for place in range(answers // config.minibatch):
                yield self._rows(place)
            return
        for start in range(0, answers, config.minibatch):
            yield list(range(start, min(start + config.minibatch, answers)))

    # ---- order

    def _numbers(self, number: int) -> list[int]:
        """The prompts of a round: the data in a new order each time it is through, each prompt as often as
        the method wants.
        """
        each, count = self.method.answers_per_prompt, len(self.task.prompts)
        wanted = self.method.config.answers // each
        places = range(number * wanted, (number + 1) * wanted)
        orders = {epoch: self._permuted(count, 0, epoch) for epoch in {place // count for place in places}}
        return [int(orders[place // count][place % count]) for place in places for _ in range(each)]

    def _rows(self, place: int) -> list[int]:
        """The answers of a round's batch number `place`."""
        config = self.method.config
        epoch, at = divmod(place, config.answers // config.minibatch)
        order = self._permuted(config.answers, 1, self.round, epoch)
        return [int(row) for row in order[at * config.minibatch : (at + 1) * config.minibatch]]

    def _permuted(self, count: int, *what: int) -> np.ndarray:
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, *what]))).permutation(
            count
        )

    def _batch(self, rollouts: Rollouts, rows: Sequence[int]) -> AnswerBatch:
        prompts = [list(self.task.prompts[rollouts.prompts[row]].ids) for row in rows]
        lengths = [int(length) for length in rollouts.lengths_B[rows]]
        tokens = max(len(ids) + length for ids, length in zip(prompts, lengths, strict=True)) - 1
        shape = len(rows), tokens
        ids_BT, targets_BT = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        mask_BT, segments_BT = np.zeros(shape, bool), np.full(shape, -1, np.int64)
        learned = ("logp_BA", "reference_BA", "advantages_BA", "values_BA", "returns_BA")
        spread = {name: np.zeros(shape, np.float32) for name in learned}
        for at, (row, ids, length) in enumerate(zip(rows, prompts, lengths, strict=True)):
            whole = [*ids, *rollouts.ids_BA[row, :length].tolist()]
            end, begin = len(whole) - 1, len(ids) - 1
            ids_BT[at, :end], targets_BT[at, :end] = whole[:-1], whole[1:]
            segments_BT[at, :end], mask_BT[at, begin:end] = 0, True
            for name, array in spread.items():
                values = getattr(rollouts, name)
                if values.size:
                    array[at, begin:end] = values[row, :length]
        device = self.policy.unembedding_weight_VD.device
        tensors = {name.replace("_BA", "_BT"): torch.from_numpy(array) for name, array in spread.items()}
        return AnswerBatch(
            torch.from_numpy(ids_BT), torch.from_numpy(targets_BT), torch.from_numpy(mask_BT),
            torch.from_numpy(segments_BT), **tensors,
        ).to(device)  # fmt: skip


def frozen(reference: Decoder) -> Reference:
    """A decoder that is not trained as the reference."""
    reference.requires_grad_(False)
    return lambda: contextlib.nullcontext(reference)


def base_of(policy: Decoder) -> Reference:
    """The reference of a policy that is an adapter: its base alone."""

    @contextmanager
    def opened() -> Iterator[Decoder]:
        with surgery.disabled(policy):
            yield policy

    return opened


def _fill(into_BA: np.ndarray, rows: Sequence[int], mask_RA: np.ndarray, found_N: Tensor) -> None:
    part_RA = np.zeros(mask_RA.shape, np.float32)
    part_RA[mask_RA] = found_N.detach().float().cpu().numpy()
    into_BA[rows] = part_RA


def _described(rollouts: Rollouts) -> dict[str, float]:
    mask_BA, rewards_B = rollouts.mask_BA, rollouts.rewards_B
    k1_B, k3_B = (
        np.where(mask_BA, divergence(rollouts.logp_BA, rollouts.reference_BA, name), 0.0).sum(1)
        for name in ("k1", "k3")
    )
    gap_N = np.abs(rollouts.engine_BA - rollouts.logp_BA)[mask_BA]
    found = {
        "rollout/reward": float(rewards_B.mean()),
        "rollout/reward_deviation": float(rewards_B.std()),
        "rollout/kl": float(k1_B.mean()),
        "rollout/kl_error": float(k1_B.std() / math.sqrt(len(k1_B))),
        "rollout/kl_k3": float(k3_B.mean()),
        "rollout/length": float(rollouts.lengths_B.mean()),
        "rollout/ended": float(rollouts.finished_B.mean()),
        "rollout/engine_gap": float(gap_N.max()),
    }
    if len(rollouts.gold_B):
        found["rollout/gold"] = float(rollouts.gold_B.mean())
    return found
