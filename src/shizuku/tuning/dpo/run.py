"""DPO put together: pairs, reference, objective and the one loop, for `shizuku align --method dpo`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shizuku.adapters.surgery import is_adapted
from shizuku.checkpoints.directory import run_record
from shizuku.config import to_dict
from shizuku.training.config import LoopConfig
from shizuku.training.loop import train
from shizuku.training.result import TrainResult
from shizuku.tuning.align_config import AlignConfig
from shizuku.tuning.align_result import AlignResult
from shizuku.tuning.dpo.distance import Drawn, divergences, draw_answers
from shizuku.tuning.dpo.judging import Judged, judge
from shizuku.tuning.dpo.objective import Preference
from shizuku.tuning.dpo.preparing import Prepared, add_reference, prepare, reference_model
from shizuku.tuning.dpo.reference import TableScores, table_scores
from shizuku.tuning.dpo.rewarding import open_reward, rewards_of
from shizuku.tuning.pair_rows import HeldoutPairs, PairRows
from shizuku.tuning.pairs import PreferencePair
from shizuku.tuning.policy.rewards import Reward
from shizuku.tuning.rows import Seen
from shizuku.tuning.run import forecast, loop_of

REPORT = "report.html"


@dataclass(frozen=True, slots=True)
class Look:
    """A model as held-out prompts show it."""

    judged: Judged | None
    """What held-out pairs say, if any are held out."""
    answers: list[Drawn]
    """Answers that it drew."""
    rewards: np.ndarray | None
    """What --reward says of these."""


@dataclass(slots=True)
class DpoResult:
    """What DPO came to, for the report."""

    training: TrainResult
    """What the loop says."""
    seen: Seen
    """Tokens that went through the model."""
    prompts: list[PreferencePair]
    """Pairs whose prompts were answered: held-out ones, where there are any."""
    before: Look
    """The model that training began with."""
    after: Look
    """The aligned model."""
    kl: float | None
    """Its distance to the reference, in nats an answer."""


def align_dpo(config: AlignConfig) -> AlignResult:
    """Align with preference pairs; see `shizuku.tuning.align.align`."""
    ready = prepare(config)
    reward = None if config.reward is None else open_reward(config.reward)
    source, loop = _rows(ready, config), _loop(config, ready)
    trained = None  # where a time says how long, all pairs may be
    if loop.steps is not None:
        trained = source.distinct(loop.steps * loop.accumulate * config.batch_size)
    add_reference(ready, config, trained)
    prompts = _prompts(ready, config)
    before = _look(ready, config, prompts, reward, start=True)
    heldout = ready.tables.get("heldout")
    training = train(
        ready.model,
        Preference(config.dpo),
        source,
        loop,
        out=config.out,
        tokenizer=ready.tokenizer,
        validation=None if heldout is None else HeldoutPairs(heldout, batch_size=config.batch_size),
        run=run_record(
            config=to_dict(config),
            data={**ready.data, "reference": {"name": ready.reference, "digest": ready.reference_digest}},
            parent=ready.base,
            parent_name=config.model,
        ),
    )
    after = _look(ready, config, prompts, reward)
    kl = _distance(ready, config, after.answers)
    result = DpoResult(training, source.seen(), prompts, before, after, kl)
    if config.report:
        from shizuku.tuning.dpo.page import write_page

        write_page(config.out / REPORT, config, ready, result)
    return _figures(ready, config, result)


def plan_dpo(config: AlignConfig) -> dict[str, Any]:
    """What the run would be: pairs, tokens, steps, and time as measured by a few steps."""
    ready = prepare(config, write=False)
    for table in ready.tables.values():  # any numbers do for measuring time
        table.reference_N2 = np.zeros((len(table), 2), dtype=np.float32)
    source, loop = _rows(ready, config), _loop(config, ready)
    ahead = forecast(ready.model, Preference(config.dpo), source, loop, batch_size=config.batch_size)
    return {
        **{f"train_{name}": value for name, value in ready.train.counts().items()},
        "heldout_pairs": len(ready.heldout.items),
        "skipped": ready.skipped or "nothing",
        "context": ready.data["context"],
        "answer_tokens": ahead.seen.learned,
        **ahead.to_json(),
    }


def _rows(ready: Prepared, config: AlignConfig) -> PairRows:
    task = {"dpo": to_dict(config.dpo), "reference": ready.reference_digest}
    return PairRows(ready.tables["train"], batch_size=config.batch_size, seed=config.loop.seed, task=task)


def _loop(config: AlignConfig, ready: Prepared) -> LoopConfig:
    items = config.epochs * len(ready.tables["train"])
    return loop_of(config, items=items, heldout=len(ready.tables.get("heldout", ())))


def _prompts(ready: Prepared, config: AlignConfig) -> list[PreferencePair]:
    """Pairs of different prompts that leave room to answer; held-out ones, where there are any."""
    part = ready.heldout if ready.heldout.items else ready.train
    room = ready.model.config.context - config.sample_tokens
    found: dict[str, PreferencePair] = {}
    for pair in part.items:
        if len(found) == config.samples:
            break
        prompt = pair.chosen.learned.index(True, 1)  # tokens before the answer
        if prompt < room:
            found.setdefault(pair.source.prompt_digest(), pair.source)
    return list(found.values())


def _look(
    ready: Prepared,
    config: AlignConfig,
    prompts: Sequence[PreferencePair],
    reward: Reward | None,
    *,
    start: bool = False,
) -> Look:
    """The model as it is now, on held-out pairs and on what it answers; `start`: before training."""
    judged, heldout = None, ready.tables.get("heldout")
    if heldout is not None:
        reference_N2 = heldout.reference_N2
        assert reference_N2 is not None, "the reference has read the held-out pairs"
        if start and config.reference is None:
            scores = TableScores(reference_N2, heldout.answer_tokens.reshape(-1, 2))
        else:
            what = f"the {'start' if start else 'aligned model'} reads held-out pairs"
            scores = table_scores(ready.model, heldout, batch_size=config.batch_size, what=what)
        judged = judge(scores, reference_N2, config.dpo)
    if not prompts:
        return Look(judged, [], None)
    answers = draw_answers(
        ready.model, ready.tokenizer, prompts, max_new_tokens=config.sample_tokens, seed=config.split_seed
    )
    return Look(judged, answers, None if reward is None else rewards_of(reward, prompts, answers))


def _distance(ready: Prepared, config: AlignConfig, answers: Sequence[Drawn]) -> float | None:
    if not answers:
        return None
    own = is_adapted(ready.model) and config.reference is None
    reference = None if own else reference_model(ready, config)
    training = ready.model.training
    ready.model.eval()
    try:
        return float(divergences(ready.model, reference, answers).mean())
    finally:
        ready.model.train(training)


def _figures(ready: Prepared, config: AlignConfig, result: DpoResult) -> AlignResult:
    figures: dict[str, Any] = {
        "method": config.method,
        "reward": config.reward or "implicit margin",
        "pairs": len(ready.train.items),
        "heldout": len(ready.heldout.items),
        "tokens": result.seen.tokens,
        "answer_tokens": result.seen.learned,
        "padding": result.seen.padding,
        "tokens_per_second": result.seen.tokens / max(result.training.seconds, 1e-9),
        "dropped": ready.train.dropped + ready.heldout.dropped,
        "cut": ready.train.cut + ready.heldout.cut,
    }
    means: list[float | None] = []
    for name, look in (("before", result.before), ("after", result.after)):
        if look.judged is not None:
            figures |= look.judged.to_json(name)
        if config.reward is not None:
            means.append(None if look.rewards is None else float(look.rewards.mean()))
        else:
            means.append(None if look.judged is None else look.judged.margin.mean)
    return AlignResult(
        training=result.training,
        reward_before=means[0],
        reward_after=means[1],
        kl=result.kl,
        figures=figures,
    )
