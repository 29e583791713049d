"""A reward model put together: pairs, head, objective and the one loop, for `shizuku reward`."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shizuku.checkpoints.directory import run_record
from shizuku.checkpoints.run_record import json_text
from shizuku.config import to_dict
from shizuku.evaluation.preferences import Judgement, judge_margins
from shizuku.models.heads import HeadedDecoder
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.config import LoopConfig
from shizuku.training.loop import train
from shizuku.training.result import TrainResult
from shizuku.training.resume import check_place
from shizuku.tuning.head_rows import head_outputs
from shizuku.tuning.pair_rows import HeldoutPairs, PairRows
from shizuku.tuning.reward_config import RewardConfig
from shizuku.tuning.reward_objective import PairwiseReward
from shizuku.tuning.reward_pairs import Prepared, prepare
from shizuku.tuning.reward_scorer import SCALE, RewardScale
from shizuku.tuning.run import begin, forecast, loop_of

REPORT = "report.html"
CENTRED_ON = 512
"""Chosen answers at most whose mean reward becomes zero."""


@dataclass(slots=True)
class RewardResult:
    """What training a reward model came to."""

    training: TrainResult
    """What the loop says."""
    pairs: int
    """Pairs learned from."""
    heldout: int
    """Held-out pairs."""
    tokens: int
    """Tokens that went through the model, padding not counted."""
    padding: float
    """Share of the rows' room that was padding."""
    dropped: int
    """Pairs left out because they were too long."""
    cut: int
    """Pairs cut because they were too long."""
    scale: RewardScale
    """Where the rewards' zero is, and how far they spread."""
    judgement: Judgement | None = None
    """What the held-out pairs say; None where nothing is held out."""
    margins: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Of each held-out pair: reward of the chosen less that of the rejected answer."""
    model: HeadedDecoder | None = field(default=None, repr=False)
    """The reward model."""
    tokenizer: Tokenizer | None = field(default=None, repr=False)
    """Its tokenizer, with the template it was trained on."""

    def to_json(self) -> dict[str, Any]:
        """The keys of the verb."""
        judged = {} if self.judgement is None else self.judgement.to_json()
        return {
            **self.training.to_json(self.tokens),
            "pairs": self.pairs,
            "heldout": self.heldout,
            "accuracy": judged.get("accuracy"),
            "accuracy_interval": judged.get("accuracy_interval"),
            "margin": judged.get("margin"),
            "calibration_error": judged.get("calibration_error"),
            "padding": self.padding,
            "dropped": self.dropped,
            "cut": self.cut,
            "offset": self.scale.offset,
            "deviation": self.scale.deviation,
        }


def train_reward(config: RewardConfig) -> RewardResult:
    """Train as the config says and leave the reward model and report.html in `config.out`.

    Raises what reading, rendering and `train` raise; Ctrl-C leaves a run that --resume goes on with.
    """
    begin(config)
    check_place(config.out, resume=config.loop.resume)
    ready = prepare(config)
    source, loop = _rows(ready, config), _loop(config, ready)
    held = ready.tables.get("heldout")
    training = train(
        ready.model,
        PairwiseReward(),
        source,
        loop,
        out=config.out,
        tokenizer=ready.tokenizer,
        validation=None if held is None else HeldoutPairs(held, batch_size=config.batch_size),
        run=run_record(config=to_dict(config), data=ready.data, parent=ready.base, parent_name=config.model),
    )
    rewards_N2 = _rewards(ready, "heldout", "reading the held-out pairs")
    chosen_N = rewards_N2[:, 0] if len(rewards_N2) else _rewards(ready, "train", "centring")[:, 0]
    seen, margins = source.seen(), rewards_N2[:, 0] - rewards_N2[:, 1]
    result = RewardResult(
        training=training,
        pairs=len(ready.train.items),
        heldout=len(ready.heldout.items),
        tokens=seen.tokens,
        padding=seen.padding,
        dropped=ready.train.dropped + ready.heldout.dropped,
        cut=ready.train.cut + ready.heldout.cut,
        scale=RewardScale(offset=-float(chosen_N.mean()), deviation=float(chosen_N.std())),
        judgement=judge_margins(margins) if len(margins) else None,
        margins=margins,
        model=ready.model,
        tokenizer=ready.tokenizer,
    )
    judged = {} if result.judgement is None else result.judgement.to_json()
    kept = {**to_dict(result.scale), "pairs": result.pairs, "heldout": result.heldout, **judged}
    (config.out / SCALE).write_text(json_text(kept), encoding="utf-8")
    if config.report:
        from shizuku.tuning.reward_page import write_page

        write_page(config.out / REPORT, config, ready, result)
    return result


def plan(config: RewardConfig) -> dict[str, Any]:
    """What the run would be: pairs, tokens, steps, and time as measured by a few steps."""
    begin(config)
    ready = prepare(config)
    source, loop = _rows(ready, config), _loop(config, ready)
    ahead = forecast(ready.model, PairwiseReward(), source, loop, batch_size=config.batch_size)
    return {
        **{f"train_{name}": value for name, value in ready.train.counts().items()},
        "heldout_pairs": len(ready.heldout.items),
        "skipped": ready.skipped or "nothing",
        "context": ready.data["context"],
        **ahead.to_json(),
    }


def _rows(ready: Prepared, config: RewardConfig) -> PairRows:
    return PairRows(
        ready.tables["train"], batch_size=config.batch_size, seed=config.loop.seed,
        task={"margins": config.margins},
    )  # fmt: skip


def _loop(config: RewardConfig, ready: Prepared) -> LoopConfig:
    items = config.epochs * len(ready.tables["train"])
    return loop_of(config, items=items, heldout=len(ready.tables.get("heldout", ())))


def _rewards(ready: Prepared, part: str, what: str) -> np.ndarray:
    """Rewards [N, 2] of a table's pairs, not centred; of those learned from the first few."""
    table = ready.tables.get(part)
    if table is None:
        return np.zeros((0, 2))
    texts = [side.ids[:-1] for side in table.sides]
    if part == "train":
        texts = texts[: 2 * CENTRED_ON]
    return head_outputs(ready.model, texts, what=what)[:, 0].numpy().astype(np.float64).reshape(-1, 2)
