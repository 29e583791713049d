"""DPO put together: pairs, reference, objective and the one loop, for `shizuku align --method dpo`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from shizuku.adapters.surgery import is_adapted
from shizuku.checkpoints.directory import run_record
from shizuku.config import to_dict
from shizuku.models.decoder import Decoder
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.batches import on_device, peek
from shizuku.training.config import LoopConfig
from shizuku.training.loop import train
from shizuku.training.result import TrainResult
from shizuku.training.speed import seconds_per_step
from shizuku.tuning.align_config import AlignConfig
from shizuku.tuning.align_result import AlignResult
from shizuku.tuning.dpo.distance import Drawn, divergences, draw_answers
from shizuku.tuning.dpo.judging import Judged, judge
from shizuku.tuning.dpo.objective import Preference
from shizuku.tuning.dpo.preparing import Prepared, add_reference, prepare, reference_model
from shizuku.tuning.dpo.reference import TableScores, table_scores
from shizuku.tuning.pair_rows import HeldoutPairs, PairRows
from shizuku.tuning.pairs import PreferencePair

REPORT = "report.html"
EVALUATIONS = 10
"""Evaluations of a run that does not say how often."""


@dataclass(slots=True)
class DpoResult:
    """What DPO came to, for the report."""

    training: TrainResult
    """What the loop says."""
    tokens: int
    """Tokens that went through the model, padding not counted."""
    answer_tokens: int
    """Those of answers, which the loss counted."""
    padding: float
    """Share of the rows' room that was padding."""
    before: Judged | None
    """The start on the held-out pairs."""
    after: Judged | None
    """The aligned model on them."""
    kl: float | None
    """Distance to the reference, in nats an answer."""
    prompts: list[PreferencePair] = field(default_factory=list)
    """Pairs whose prompts were answered: held-out ones, where there are any."""
    answers_before: list[Drawn] = field(default_factory=list)
    """Answers that the start drew."""
    answers_after: list[Drawn] = field(default_factory=list)
    """Answers that the aligned model drew."""
    model: Decoder | None = field(default=None, repr=False)
    """The aligned model."""
    tokenizer: Tokenizer | None = field(default=None, repr=False)
    """Its tokenizer."""


def align_dpo(config: AlignConfig) -> AlignResult:
    """Align with preference pairs; see `shizuku.tuning.align.align`."""
    ready = prepare(config)
    source, loop = _rows(ready, config), _loop(config, ready)
    seen_pairs = None  # where a time says how long, all may be
    if loop.steps is not None:
        seen_pairs = source.distinct(loop.steps * loop.accumulate * config.batch_size)
    reference = add_reference(ready, config, seen_pairs)
    prompts = _prompts(ready, config)
    heldout = ready.tables.get("heldout")
    before = None
    if heldout is not None:
        same = config.reference is None
        tokens_N2 = heldout.answer_tokens.reshape(-1, 2)
        scores = (
            TableScores(reference["heldout"], tokens_N2)
            if same
            else table_scores(ready.model, heldout, what="the start reads held-out pairs")
        )
        before = judge(scores, reference["heldout"], config.dpo)
    drawn_before = _draw(ready, config, prompts)
    validation = None if heldout is None else HeldoutPairs(heldout, batch_size=config.batch_size)
    training = train(
        ready.model,
        Preference(config.dpo),
        source,
        loop,
        out=config.out,
        tokenizer=ready.tokenizer,
        validation=validation,
        run=run_record(
            config=to_dict(config),
            data={**ready.data, "reference": {"name": ready.reference, "digest": ready.reference_digest}},
            parent=ready.base,
            parent_name=config.model,
        ),
    )
    after = None
    if heldout is not None:
        scores = table_scores(ready.model, heldout, what="the aligned model reads held-out pairs")
        after = judge(scores, reference["heldout"], config.dpo)
    drawn_after = _draw(ready, config, prompts)
    seen = source.seen()
    result = DpoResult(
        training=training,
        tokens=seen.tokens,
        answer_tokens=seen.learned,
        padding=1 - seen.tokens / max(seen.room, 1),
        before=before,
        after=after,
        kl=_distance(ready, config, drawn_after),
        prompts=prompts,
        answers_before=drawn_before,
        answers_after=drawn_after,
        model=ready.model,
        tokenizer=ready.tokenizer,
    )
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
    batches = [on_device(batch, torch.device("cpu")) for batch in peek(source, loop.accumulate)]
    each = seconds_per_step(
        ready.model, Preference(config.dpo), batches, loop.optimizer, loop.parallel, precision=loop.precision
    )
    steps = loop.steps or max(1, int((loop.max_seconds or 0) / each))
    seen = source.seen(steps * config.batch_size * loop.accumulate)
    trained = [one for one in ready.model.parameters() if one.requires_grad]
    return {
        **{f"train_{name}": value for name, value in ready.train.counts().items()},
        "heldout_pairs": len(ready.heldout.items),
        "skipped": ready.skipped or "nothing",
        "context": ready.data["context"],
        "parameters": sum(one.numel() for one in ready.model.parameters()),
        "trained_parameters": sum(one.numel() for one in trained),
        "steps": steps,
        "tokens": seen.tokens,
        "answer_tokens": seen.learned,
        "padding": 1 - seen.tokens / max(seen.room, 1),
        "seconds": steps * each,
    }


def _rows(ready: Prepared, config: AlignConfig) -> PairRows:
    task = {"dpo": to_dict(config.dpo), "reference": ready.reference_digest}
    return PairRows(ready.tables["train"], batch_size=config.batch_size, seed=config.loop.seed, task=task)


def _loop(config: AlignConfig, ready: Prepared) -> LoopConfig:
    loop = config.loop
    if loop.steps is None and loop.max_seconds is None:
        per_step = config.batch_size * loop.accumulate
        steps = math.ceil(config.epochs * len(ready.tables["train"]) / per_step)
        loop = replace(loop, steps=max(1, steps))
    if "heldout" not in ready.tables:
        return loop
    if config.keep == "best":
        loop = replace(loop, keep_best=True)
    if loop.evaluate_every is None and loop.steps is not None:
        loop = replace(loop, evaluate_every=max(1, loop.steps // EVALUATIONS))
    return loop


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


def _draw(ready: Prepared, config: AlignConfig, prompts: Sequence[PreferencePair]) -> list[Drawn]:
    if not prompts:
        return []
    return draw_answers(
        ready.model, ready.tokenizer, prompts, max_new_tokens=config.sample_tokens, seed=config.split_seed
    )


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
    before, after, seconds = result.before, result.after, max(result.training.seconds, 1e-9)
    figures: dict[str, Any] = {
        "method": config.method,
        "reward": "implicit margin",
        "pairs": len(ready.train.items),
        "heldout": len(ready.heldout.items),
        "tokens": result.tokens,
        "answer_tokens": result.answer_tokens,
        "padding": result.padding,
        "tokens_per_second": result.tokens / seconds,
        "dropped": ready.train.dropped + ready.heldout.dropped,
        "cut": ready.train.cut + ready.heldout.cut,
    }
    if before is not None and after is not None:
        figures |= before.to_json("before") | after.to_json("after")
    return AlignResult(
        training=result.training,
        reward_before=None if before is None else before.margin.mean,
        reward_after=None if after is None else after.margin.mean,
        kl=result.kl,
        figures=figures,
    )
