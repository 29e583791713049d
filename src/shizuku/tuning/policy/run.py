"""PPO and GRPO put together: prompts, reward, policy and the one loop, for `shizuku align`."""

import copy
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from shizuku.adapters.surgery import is_adapted
from shizuku.checkpoints.digests import file_digest
from shizuku.checkpoints.directory import run_record
from shizuku.checkpoints.names import resolve
from shizuku.checkpoints.run_record import checkpoint_digest
from shizuku.config import to_dict
from shizuku.errors import ConfigError, DocumentError
from shizuku.models.decoder import Decoder
from shizuku.progress import say
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.batches import on_device
from shizuku.training.loop import train
from shizuku.training.result import TrainResult
from shizuku.training.speed import seconds_per_step
from shizuku.tuning.align_config import AlignConfig
from shizuku.tuning.align_result import AlignResult
from shizuku.tuning.base import open_base, put_adapter
from shizuku.tuning.before import answered_before
from shizuku.tuning.policy.checks import check_policy
from shizuku.tuning.policy.config import GRPOConfig, PPOConfig
from shizuku.tuning.policy.critic import ActorCritic
from shizuku.tuning.policy.grpo import GRPO
from shizuku.tuning.policy.ppo import PPO
from shizuku.tuning.policy.prompts import encode_prompts, read_prompts, split_prompts
from shizuku.tuning.policy.rewards import (
    CallableReward,
    ModelReward,
    Reward,
    RewardLike,
    is_callable_name,
    open_callable,
)
from shizuku.tuning.policy.rollouts import Prompt
from shizuku.tuning.policy.source import Reference, RolloutSource, Task, base_of, frozen
from shizuku.tuning.run import sizes
from shizuku.tuning.templates import with_template

AFTER, REPORT = "after.json", "report.html"
"""Answers to held-out prompts, and the report."""


@dataclass(slots=True)
class Judged:
    """Answers to held-out prompts, and what they are like."""

    texts: list[str]
    """What they say."""
    rewards: list[float]
    """What the reward says of each."""
    figures: dict[str, float]
    """Figures of all of them, as those of a round."""


@dataclass(slots=True)
class Prepared:
    """A policy, its reference and its task."""

    model: ActorCritic | Decoder
    policy: Decoder
    tokenizer: Tokenizer
    base: Path
    method: PPO | GRPO
    reference: Reference
    task: Task
    heldout: list[Prompt]
    data: dict[str, Any]
    """What the run record says of the data."""
    skipped: str
    """What was skipped, a line a reason."""

    def source(self, seed: int) -> RolloutSource:
        """The rounds to learn from."""
        return RolloutSource(self.model, self.task, self.method, self.reference, seed=seed)


def align_policy(
    config: AlignConfig, reward: RewardLike | None = None, gold: RewardLike | None = None
) -> AlignResult:
    """Align by PPO or GRPO; see `shizuku.tuning.align.align`."""
    check_policy(config)
    ready = prepare(config, reward=reward, gold=gold)
    source = ready.source(config.loop.seed)
    before = _before(ready, config)
    training = train(
        ready.model,
        ready.method,
        source,
        steps_of(config),
        out=config.out,
        tokenizer=ready.tokenizer,
        run=run_record(config=to_dict(config), data=ready.data, parent=ready.base, parent_name=config.model),
    )
    after = judge(ready, config)
    _keep(after, config.out / AFTER)
    if config.report:
        from shizuku.tuning.policy.page import write_page

        write_page(config.out / REPORT, config, ready, training, (before, after))
    return _result(ready, training, before, after)


def plan_policy(config: AlignConfig) -> dict[str, Any]:
    """What the run would be: prompts, rounds, steps, and time as measured by a few answers and steps."""
    check_policy(config)
    ready = prepare(config, write=False)
    own, loop = ready.method.config, steps_of(config)
    source = ready.source(config.loop.seed)
    begun = time.perf_counter()
    batch = source.next()
    sampling = time.perf_counter() - begun
    batches = [on_device(batch, batch.ids_BT.device)] * loop.accumulate
    each = seconds_per_step(ready.model, ready.method, batches, loop.optimizer, precision=loop.precision)
    steps = loop.steps or 1
    rounds = -(-steps * loop.accumulate // own.batches)
    return {
        "prompts": len(ready.task.prompts),
        "heldout_prompts": len(ready.heldout),
        "skipped": ready.skipped or "nothing",
        **sizes(ready.model),
        "rounds": rounds,
        "answers": rounds * own.answers,
        "steps": steps,
        "seconds_sampling_a_round": sampling,
        "seconds": rounds * sampling + steps * each,
    }


def prepare(
    config: AlignConfig,
    *,
    write: bool = True,
    reward: RewardLike | None = None,
    gold: RewardLike | None = None,
) -> Prepared:
    """Read prompts, model and reward, and put what is trained together.

    A base that is rounded is kept in `config.out` unless `write` is False; `reward` and `gold` go before
    those that the config names.
    """
    own: PPOConfig | GRPOConfig = config.ppo if config.method == "ppo" else config.grpo
    base = open_base(config.model, config.base, out=config.out if write else None)
    policy, tokenizer, adapted = base.model, base.tokenizer, config.lora.rank > 0
    chat = config.chat_template is not None or tokenizer.chat_template is not None
    if chat:
        policy, tokenizer = with_template(policy, tokenizer, config.chat_template, frozen=adapted)
    else:
        say("the model has no chat template: it goes on with the prompts as they stand (--chat-template)")
    if not tokenizer.stop_ids:
        say(f"the tokenizer knows no end: every answer goes up to --{own.FLAG}.max-new-tokens")
    room = policy.config.context - own.max_new_tokens
    if room < 1:
        raise ConfigError(
            f"--{own.FLAG}.max-new-tokens {own.max_new_tokens}: the model's window of "
            f"{policy.config.context} tokens has to hold prompt and answer: give fewer than "
            f"{policy.config.context}"
        )
    prompts, heldout, data, skipped = _prompts(config, tokenizer, chat, room)
    reference = _reference(config, policy, tokenizer, adapted=adapted)
    if adapted:
        put_adapter(policy, config.lora, base, seed=config.loop.seed)
        reference = reference or base_of(policy)
    assert reference is not None, "a whole model has a copy as its reference"
    task = Task(
        prompts=prompts,
        reward=_reward(reward or config.reward or "", own),
        gold=_reward(gold or config.gold or "", own) if gold or config.gold else None,
        decode=tokenizer.decode,
        stop_ids=tokenizer.stop_ids,
        reference="" if config.reference is None else checkpoint_digest(resolve(config.reference)),
    )
    model: ActorCritic | Decoder = policy
    if isinstance(own, PPOConfig):
        torch.manual_seed(config.loop.seed)
        model = ActorCritic(policy, own.critic)
    method = PPO(own) if isinstance(own, PPOConfig) else GRPO(own)
    return Prepared(model, policy, tokenizer, base.path, method, reference, task, heldout, data, skipped)


def judge(ready: Prepared, config: AlignConfig) -> Judged | None:
    """Answers to the held-out prompts, drawn by the split's seed; None without such prompts."""
    if not ready.heldout:
        return None
    task = replace(ready.task, prompts=ready.heldout)
    source = RolloutSource(ready.model, task, ready.method, ready.reference, seed=config.split_seed)
    rollouts, figures = source.answered(range(len(ready.heldout)))
    texts = [source.text(rollouts, row) for row in range(len(ready.heldout))]
    return Judged(texts, rollouts.rewards_B.tolist(), figures)


def steps_of(config: AlignConfig) -> Any:
    """The loop with as many steps as the rounds take, where it is not told how many."""
    own: PPOConfig | GRPOConfig = config.ppo if config.method == "ppo" else config.grpo
    if config.loop.steps is not None:
        return config.loop
    steps = -(-own.rounds * own.batches // config.loop.accumulate)
    return replace(config.loop, steps=steps)


def _prompts(
    config: AlignConfig, tokenizer: Tokenizer, chat: bool, room: int
) -> tuple[list[Prompt], list[Prompt], dict[str, Any], str]:
    problems = Problems()
    read = read_prompts(config.data, problems=problems)
    say(read.say())
    trained, held = split_prompts(read.items, config.validation, config.split_seed)
    if config.validation_data:
        held = read_prompts(config.validation_data, problems=problems).items
        known = {prompt.digest() for prompt in held}
        trained = [prompt for prompt in read.items if prompt.digest() not in known]
    sides = [
        encode_prompts(tokenizer, some, chat=chat, room=room, problems=problems) for some in (trained, held)
    ]
    if problems:
        say(problems.report())
    if not sides[0]:
        raise DocumentError(f"no prompt of {', '.join(map(str, config.data))} is left to learn from (--data)")
    if not sides[1]:
        say("no prompts are held out, so nothing says what the reward was before and after (--validation)")
    data = {
        "files": {str(file): file_digest(Path(file)) for file in (*config.data, *config.validation_data)},
        "formats": dict(read.formats),
        "skipped": dict(problems.counts),
        "prompts": len(sides[0]),
        "heldout_prompts": len(sides[1]),
    }
    return sides[0], sides[1][: config.samples], data, problems.report()


def _reference(
    config: AlignConfig, policy: Decoder, tokenizer: Tokenizer, *, adapted: bool
) -> Reference | None:
    if config.reference is None:
        return None if adapted else frozen(copy.deepcopy(policy))
    say(
        f"the reference is {config.reference}, not the model that training begins with: the divergence "
        "begins above 0"
    )
    found = open_base(config.reference)
    if found.tokenizer.backend.get_vocab() != tokenizer.backend.get_vocab():
        raise ConfigError(
            f"--reference {config.reference}: its tokenizer has other tokens than that of {config.model}, so "
            "their log-probabilities can't be compared: give a model with the same tokenizer"
        )
    return frozen(found.model.eval())


def _reward(where: str | RewardLike, config: PPOConfig | GRPOConfig) -> Reward:
    flag = f"--{config.FLAG}.reward-seconds"
    from shizuku.tuning.reward_scorer import RewardScorer

    if isinstance(where, ModelReward | CallableReward):
        return where
    if isinstance(where, RewardScorer):
        return ModelReward(where, type(where).__name__)
    if not isinstance(where, str):
        return CallableReward(where, seconds=config.reward_seconds, flag=flag)
    if is_callable_name(where):
        return open_callable(where, seconds=config.reward_seconds, flag=flag)
    return ModelReward(RewardScorer.load(resolve(where)), where)


def _before(ready: Prepared, config: AlignConfig) -> Judged | None:
    """What the start answers; a resumed run takes what was written down."""
    if not ready.heldout:
        return None
    asked = {
        "base": checkpoint_digest(ready.base),
        "held": config.base,
        "prompts": [prompt.ids for prompt in ready.heldout],
        "seed": config.split_seed,
        "settings": to_dict(ready.method.config),
        "rewards": [ready.task.reward.name, None if ready.task.gold is None else ready.task.gold.name],
        "reference": ready.task.reference,
    }

    def ask() -> dict[str, Any]:
        found = judge(ready, config)
        assert found is not None, "there are held-out prompts"
        return asdict(found)

    return Judged(**answered_before(config.out, asked, ask))


def _keep(found: Judged | None, file: Path) -> None:
    if found is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(found), ensure_ascii=False), encoding="utf-8")


def _result(
    ready: Prepared, training: TrainResult, before: Judged | None, after: Judged | None
) -> AlignResult:
    own, last = ready.method.config, _last(training.history)
    rounds = int(last.get("round", 0))
    figures = {
        "method": own.FLAG,
        "reward": ready.task.reward.name,
        "prompts": len(ready.task.prompts),
        "heldout": len(ready.heldout),
        "rounds": rounds,
        "answers": rounds * own.answers,
        "answers_per_second": rounds * own.answers / max(training.seconds, 1e-9),
        "adapter": is_adapted(ready.policy),
        **_both("ended", "rollout/ended", before, after),
        **_both("length", "rollout/length", before, after),
        **(_both("gold", "rollout/gold", before, after) if ready.task.gold else {}),
    }
    return AlignResult(
        training=training,
        reward_before=None if before is None else before.figures["rollout/reward"],
        reward_after=None if after is None else after.figures["rollout/reward"],
        kl=last.get("rollout/kl") if after is None else after.figures["rollout/kl"],
        figures=figures,
    )


def _both(name: str, key: str, before: Judged | None, after: Judged | None) -> dict[str, float | None]:
    sides = (("before", before), ("after", after))
    return {f"{name}_{side}": None if found is None else found.figures.get(key) for side, found in sides}


def _last(history: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return history[-1] if history else {}
