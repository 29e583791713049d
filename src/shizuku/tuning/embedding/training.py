"""A sentence encoder put together: pairs, objective and the one loop, for `shizuku embed train`.

Legend: `N` pairs, `D` width.
"""

from dataclasses import dataclass, field
from typing import Any

from shizuku.checkpoints.pooling import declare_pooling
from shizuku.checkpoints.run_record import run_record
from shizuku.config import to_dict
from shizuku.evaluation.bootstrap import Estimate
from shizuku.evaluation.retrieval import Retrieval, gain, judge_retrieval
from shizuku.language_model import LanguageModel
from shizuku.progress import say
from shizuku.training.config import LoopConfig
from shizuku.training.loop import train
from shizuku.training.result import TrainResult
from shizuku.training.resume import check_place, has_state
from shizuku.tuning.embedding.batches import HeldoutTexts, TextTable
from shizuku.tuning.embedding.config import EmbedTrainConfig, check_work
from shizuku.tuning.embedding.objective import Contrast
from shizuku.tuning.embedding.preparing import Prepared, prepare
from shizuku.tuning.pair_rows import PairRows
from shizuku.tuning.run import begin, forecast, loop_of

REPORT = "report.html"


@dataclass(frozen=True, slots=True)
class Found:
    """How well held-out texts find each other, before training or after it."""

    forward: Retrieval
    """The second text is looked for, from the first."""
    backward: Retrieval
    """The first text, from the second."""

    def to_json(self, when: str) -> dict[str, Any]:
        """As JSON values, `when` behind each name."""
        found: dict[str, Any] = {}
        for name, way in (("", self.forward), ("backward_", self.backward)):
            for measure, value in (("recall_at_1", way.recall), ("mrr", way.reciprocal_rank)):
                found[f"{name}{measure}_{when}"] = value.mean
                found[f"{name}{measure}_{when}_interval"] = [value.low, value.high]
        return found


@dataclass(slots=True)
class EmbedResult:
    """What training a sentence encoder came to."""

    training: TrainResult
    """What the loop says."""
    pairs: int
    """Pairs, or single texts, that there were to learn from."""
    seen: int
    """Those that went through the model, again and again counted again."""
    single: bool
    """Whether these are single texts."""
    heldout: int
    """Held-out pairs."""
    judged: int
    """Those of them that are looked at."""
    tokens: int
    """Tokens that went through the model, padding not counted."""
    padding: float
    """Share of the rows' room that was padding."""
    cut: int
    """Texts cut because they were too long."""
    pooling: str
    """How vectors are pooled."""
    before: Found | None = None
    """What held-out pairs say of the model before; None where nothing is held out."""
    after: Found | None = None
    """What they say of it after training."""
    gain: Estimate | None = None
    """By how much recall at 1 has risen, forward."""
    model: Any = field(default=None, repr=False)
    """The trained model."""

    def to_json(self) -> dict[str, Any]:
        """The keys of the verb."""
        judged = {} if self.before is None else self.before.to_json("before")
        judged |= {} if self.after is None else self.after.to_json("after")
        if self.gain is not None:
            judged |= {"recall_gain": self.gain.mean, "recall_gain_interval": [self.gain.low, self.gain.high]}
        return {
            **self.training.to_json(self.tokens),
            "pairs": self.pairs,
            "pairs_seen": self.seen,
            "single_texts": self.single,
            "heldout": self.heldout,
            "judged": self.judged,
            "pooling": self.pooling,
            **judged,
            "padding": self.padding,
            "cut": self.cut,
        }


def train_embedder(config: EmbedTrainConfig) -> EmbedResult:
    """Train as the config says and leave the model, how its vectors are pooled and report.html in
    `config.out`.

    Raises what reading and `train` raise; Ctrl-C leaves a run that --resume goes on with.
    """
    _begin(config)
    check_place(config.out, resume=config.loop.resume)
    ready = prepare(config)
    source, loop = _source(ready, config), _loop(config, ready)
    before = _judge(ready, "before training")
    if not has_state(config.out):
        # Ahead of the weights, so that every checkpoint of the run says it; a save keeps files beside it.
        declare_pooling(config.out, ready.pooling, width=ready.model.config.width, window=ready.window)
    training = train(
        ready.model,
        _objective(config, ready),
        source,
        loop,
        out=config.out,
        tokenizer=ready.tokenizer,
        validation=_heldout(ready, config),
        run=run_record(config=to_dict(config), data=ready.data, parent=ready.base, parent_name=config.model),
    )
    after = _judge(ready, "after training")
    seen = source.seen()
    result = EmbedResult(
        training=training,
        pairs=len(ready.table),
        seen=seen.learned,
        single=ready.single,
        heldout=ready.heldout,
        judged=len(ready.judged),
        tokens=seen.tokens,
        padding=seen.padding,
        cut=ready.cut,
        pooling=ready.pooling,
        before=before,
        after=after,
        gain=None if before is None or after is None else gain(before.forward, after.forward),
        model=ready.model,
    )
    if config.report:
        from shizuku.tuning.embedding.page import write_page

        write_page(config.out / REPORT, config, ready, result)
    return result


def plan(config: EmbedTrainConfig) -> dict[str, Any]:
    """What the run would be: pairs, tokens, steps, and time as measured by a few steps."""
    _begin(config)
    ready = prepare(config)
    source, loop = _source(ready, config), _loop(config, ready)
    ahead = forecast(ready.model, _objective(config, ready), source, loop, batch_size=config.batch_size)
    return {
        "pairs": len(ready.table),
        "single_texts": ready.single,
        "heldout": ready.heldout,
        "judged": len(ready.judged),
        "skipped": ready.skipped or "nothing",
        "cut": ready.cut,
        "pooling": ready.pooling,
        **ahead.to_json(),
    }


def find(lm: LanguageModel, ready: Prepared) -> Found:
    """How well the held-out texts find each other by the vectors of `lm`."""
    sides = [[pair.text for pair in ready.judged_ids], [pair.other for pair in ready.judged_ids]]
    first_ND, second_ND = (lm.embed(side, pooling=ready.pooling) for side in sides)
    keys = [pair.keys for pair in ready.judged]
    return Found(
        judge_retrieval(first_ND, second_ND, [key[1] for key in keys]),
        judge_retrieval(second_ND, first_ND, [key[0] for key in keys]),
    )


def _judge(ready: Prepared, when: str) -> Found | None:
    if not ready.judged:
        return None
    found = find(ready.language_model(), ready)
    say(
        f"{when} {found.forward.recall} of {len(ready.judged):,} held-out texts find their own first, and "
        f"{found.backward.recall} the other way"
    )
    return found


def _begin(config: EmbedTrainConfig) -> None:
    check_work(config)
    begin(config)


def _objective(config: EmbedTrainConfig, ready: Prepared) -> Contrast:
    return Contrast(temperature=config.temperature, pooling=ready.pooling, both_ways=config.both_ways)


def _source(ready: Prepared, config: EmbedTrainConfig) -> PairRows:
    task = {
        "temperature": config.temperature,
        "both_ways": config.both_ways,
        "pooling": ready.pooling,
        "batch_size": config.batch_size,
    }
    return PairRows(ready.table, batch_size=config.batch_size, seed=config.loop.seed, task=task)


def _heldout(ready: Prepared, config: EmbedTrainConfig) -> HeldoutTexts | None:
    if not ready.judged:
        return None
    return HeldoutTexts(TextTable(ready.judged_ids), batch_size=config.batch_size)


def _loop(config: EmbedTrainConfig, ready: Prepared) -> LoopConfig:
    return loop_of(config, items=config.epochs * len(ready.table), heldout=len(ready.judged))
