"""Tuning put together: conversations, template, rows, objective and the one loop, for `shizuku tune`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from shizuku.checkpoints.digests import file_digest
from shizuku.checkpoints.directory import load_model, run_record
from shizuku.checkpoints.run_record import checkpoint_digest
from shizuku.config import to_dict
from shizuku.errors import ConfigError, DocumentError
from shizuku.models.decoder import Decoder
from shizuku.progress import say
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.config import LoopConfig
from shizuku.training.distribution import first_alone, place, wait_for_all
from shizuku.training.loop import train
from shizuku.training.objectives import NextToken
from shizuku.training.result import TrainResult
from shizuku.training.resume import check_place
from shizuku.tuning.answers import Answer, answers_of, prompt_of
from shizuku.tuning.base import Base, open_base, put_adapter
from shizuku.tuning.before import answered_before
from shizuku.tuning.config import TuneConfig
from shizuku.tuning.conversations import Conversations, read_conversations
from shizuku.tuning.dataset import (
    Encoded,
    encode_conversations,
    fitted,
    fitting_context,
    not_held,
    split_conversations,
)
from shizuku.tuning.examples import Conversation
from shizuku.tuning.rows import ExampleRows, HeldoutRows
from shizuku.tuning.run import begin, forecast, loop_of, sizes
from shizuku.tuning.templates import with_template

REPORT = "report.html"


@dataclass(slots=True)
class Prepared:
    """A model and conversations that are ready for tuning."""

    model: Decoder
    tokenizer: Tokenizer
    base: Path
    train: Encoded
    heldout: Encoded
    context: int
    data: dict[str, Any]
    """What the run record says of the data."""
    skipped: str
    """What was skipped, a line a reason."""


@dataclass(slots=True)
class TuneResult:
    """What tuning came to."""

    training: TrainResult
    """What the loop says."""
    examples: int
    """Examples learned from, held-out ones not counted."""
    heldout: int
    """Held-out examples."""
    tokens: int
    """Tokens that went through the model, padding not counted."""
    learned_tokens: int
    """Tokens that the loss counted."""
    padding: float
    """Share of the rows' room that was padding."""
    dropped: int
    """Examples left out because they were too long."""
    cut: int
    """Examples cut because they were too long."""
    parameters: int
    """Numbers in the model, packed ones and the adapter's counted."""
    trained_parameters: int
    """Those that tuning moved."""
    prompts: list[Conversation] = field(default_factory=list)
    """Held-out conversations that were answered."""
    before: list[Answer] = field(default_factory=list)
    """The answers of the base."""
    after: list[Answer] = field(default_factory=list)
    """The answers of the tuned model."""
    model: Decoder | None = field(default=None, repr=False)
    """The tuned model."""
    tokenizer: Tokenizer | None = field(default=None, repr=False)
    """Its tokenizer, with the template it was tuned on."""

    def to_json(self) -> dict[str, Any]:
        """The keys of the contract and a few more."""
        seconds = max(self.training.seconds, 1e-9)
        return {
            **self.training.to_json(self.tokens),
            "examples": self.examples,
            "learned_tokens_per_second": self.learned_tokens / seconds,
            "learned_tokens": self.learned_tokens,
            "padding": self.padding,
            "heldout": self.heldout,
            "dropped": self.dropped,
            "cut": self.cut,
            "parameters": self.parameters,
            "trained_parameters": self.trained_parameters,
            "stops_before": stop_rate(self.before),
            "stops_after": stop_rate(self.after),
        }


def stop_rate(answers: Sequence[Answer]) -> float | None:
    """Share of the answers that ended by themselves; None of none."""
    return sum(answer.stopped for answer in answers) / len(answers) if answers else None


def tune(config: TuneConfig) -> TuneResult:
    """Tune as the config says and leave the checkpoint and report.html in `config.out`.

    In a `torchrun` job all processes call it; process 0 answers the prompts and writes the report. Raises
    what reading, rendering and `train` raise; Ctrl-C leaves a run that --resume goes on with.
    """
    begin(config, together=True)
    check_place(config.out, resume=config.loop.resume)
    ready = first_alone(lambda: prepare(config))
    source, first = rows_of(ready, config), place()[0] == 0
    validation = _heldout_rows(ready, config)
    loop = _loop(config, source, validation)
    prompts = _prompts(ready, config.samples)
    before = _answers_before(ready, config, prompts) if first else []
    wait_for_all()
    result = train(
        ready.model,
        NextToken(label_smoothing=config.label_smoothing, noise=config.neftune_alpha),
        source,
        loop,
        out=config.out,
        tokenizer=ready.tokenizer,
        validation=validation,
        run=run_record(config=to_dict(config), data=ready.data, parent=ready.base, parent_name=config.model),
    )
    # Sharded weights answer only with all processes at work.
    whole = load_model(config.out) if first and loop.parallel == "fsdp" else ready.model
    seen = source.seen()
    tuned = TuneResult(
        training=result,
        examples=len(ready.train.examples),
        heldout=len(ready.heldout.examples),
        tokens=seen.tokens,
        learned_tokens=seen.learned,
        padding=seen.padding,
        dropped=ready.train.dropped + ready.heldout.dropped,
        cut=ready.train.cut + ready.heldout.cut,
        **sizes(ready.model),
        prompts=prompts,
        before=before,
        after=_answers(ready, config, prompts, of=whole) if first else [],
        model=whole,
        tokenizer=ready.tokenizer,
    )
    _warn_of_endless(config, ready, tuned.after)
    if config.report and first:
        from shizuku.tuning.page import write_page

        write_page(config.out / REPORT, config, ready, tuned)
    return tuned


def _warn_of_endless(config: TuneConfig, ready: Prepared, answers: Sequence[Answer]) -> None:
    """Say so where most answers do not end, and why that is, as far as is known."""
    rate = stop_rate(answers)
    if rate is None or rate >= 0.5:
        return
    ends = ", ".join(
        ready.tokenizer.decode([one], skip_control=False) for one in sorted(ready.tokenizer.stop_ids)
    )
    why = "train longer (--epochs), or let the samples be longer (--sample-tokens)"
    if config.lora.rank:
        why += (
            f"; a base that has never seen {ends} doesn't learn it by an adapter, which leaves the rows of "
            "tokens as they are: tune the whole model, or give a --chat-template of tokens that it knows"
        )
    say(
        f"only {rate:.0%} of {len(answers)} sample answers of at most {config.sample_tokens} tokens end by "
        f"themselves: {why}"
    )


def plan(config: TuneConfig) -> dict[str, Any]:
    """What the run would be: examples, tokens, steps, memory, and time as measured by a few steps."""
    begin(config, together=True)
    ready = prepare(config, write=False)
    source = rows_of(ready, config)
    loop = _loop(config, source, _heldout_rows(ready, config))
    ahead = forecast(ready.model, NextToken(), source, loop, batch_size=config.batch_size)
    return {
        **{f"train_{name}": value for name, value in ready.train.counts().items()},
        "heldout_examples": len(ready.heldout.examples),
        "skipped": ready.skipped or "nothing",
        "context": ready.context,
        "learned_tokens": ahead.seen.learned,
        **ahead.to_json(),
    }


def prepare(config: TuneConfig, *, write: bool = True) -> Prepared:
    """Read the conversations and the model, put the adapter on it, and encode the former for the latter.

    A base that is rounded is kept in `config.out` unless `write` is False.
    """
    problems = Problems()
    read = read_conversations(config.data, problems=problems)
    say(read.say())
    held: Conversations | None = None
    if config.validation_data:
        held = read_conversations(config.validation_data, problems=problems)
    base, model, tokenizer = _model(config, write=write)
    longest = model.config.context
    if config.context is not None and config.context > longest:
        raise ConfigError(f"--context {config.context}: the model's window has {longest} tokens")
    if held is None:
        trained, heldout = split_conversations(read.items, config.validation, config.split_seed)
    else:
        trained, heldout = not_held(read.items, held.items, problems), held.items
        if not trained:
            raise DocumentError(
                f"no conversation is left to learn from: {problems.report()} (--validation-data)"
            )
    encoded = [
        encode_conversations(tokenizer, some, learn=config.learn, problems=problems) if some else Encoded()
        for some in (trained, heldout)
    ]
    context = config.context or fitting_context([*encoded[0].examples, *encoded[1].examples], longest)
    parts = [fitted(one, context, too_long=config.too_long) if one.examples else one for one in encoded]
    if problems:
        say(problems.report())
    for part in parts:
        if part.dropped or part.cut:
            say(
                f"longer than a row of {context:,} tokens: {part.dropped:,} dropped, {part.cut:,} cut "
                "(--too-long, --context)"
            )
    if not heldout:
        say("nothing is held out, so the last weights are kept, whether or not they are the best")
    data = {
        "files": {str(file): file_digest(Path(file)) for file in (*config.data, *config.validation_data)},
        "formats": dict(read.formats),
        "skipped": dict(problems.counts),
        "train": parts[0].counts(),
        "heldout": parts[1].counts(),
        "context": context,
    }
    return Prepared(model, tokenizer, base.path, parts[0], parts[1], context, data, problems.report())


def _model(config: TuneConfig, *, write: bool) -> tuple[Base, Decoder, Tokenizer]:
    adapted = config.lora.rank > 0
    if config.base != "float" and not adapted:
        raise ConfigError(
            f"--base {config.base}: packed weights can't be trained; for an adapter give --lora.rank"
        )
    base = open_base(config.model, config.base, out=config.out if write else None)
    model, tokenizer = with_template(base.model, base.tokenizer, config.chat_template, frozen=adapted)
    if adapted:
        put_adapter(model, config.lora, base, seed=config.loop.seed)
    return base, model, tokenizer


def rows_of(ready: Prepared, config: TuneConfig) -> ExampleRows:
    """The batches in their order, of them the rows of this process."""
    rank, world = place()
    draws = config.neftune_alpha or config.loop.dropout or config.lora.dropout
    return ExampleRows(
        ready.train.examples, context=ready.context, batch_size=config.batch_size, seed=config.loop.seed,
        rank=rank, world=world, share=not draws,
        task={"neftune_alpha": config.neftune_alpha} if config.neftune_alpha else {},
    )  # fmt: skip


def _heldout_rows(ready: Prepared, config: TuneConfig) -> HeldoutRows | None:
    if not ready.heldout.examples:
        return None
    return HeldoutRows(ready.heldout.examples, context=ready.context, batch_size=config.batch_size)


def _loop(config: TuneConfig, source: ExampleRows, heldout: HeldoutRows | None) -> LoopConfig:
    rows = 0 if heldout is None else len(heldout.rows)
    return loop_of(config, items=source.rows_until(config.epochs), heldout=rows)


def _prompts(ready: Prepared, number: int) -> list[Conversation]:
    """Held-out conversations, each once, whose prompt leaves room to answer; without any, learned ones."""
    part = ready.heldout if ready.heldout.examples else ready.train
    distinct = list({id(one): one for one in part.sources}.values())
    room = ready.model.config.context
    fits = [one for one in distinct if len(_prompt_ids(ready, one)) < room * 3 // 4]
    return fits[:number]


def _prompt_ids(ready: Prepared, conversation: Conversation) -> list[int]:
    return ready.tokenizer.encode_chat(prompt_of(conversation), tools=list(conversation.tools) or None)


def _answers_before(ready: Prepared, config: TuneConfig, prompts: Sequence[Conversation]) -> list[Answer]:
    """The base's answers; a resumed run takes those that were written down."""
    if not prompts:
        return []
    asked = {
        "base": checkpoint_digest(ready.base),
        "held": config.base,
        "prompts": [_prompt_ids(ready, one) for one in prompts],
        "tokens": config.sample_tokens,
    }

    def ask() -> list[dict[str, Any]]:
        say(f"answering {len(prompts)} held-out prompts before tuning")
        return [asdict(one) for one in _answers(ready, config, prompts)]

    return [Answer(**one) for one in answered_before(config.out, asked, ask)]


def _answers(
    ready: Prepared, config: TuneConfig, prompts: Sequence[Conversation], *, of: Decoder | None = None
) -> list[Answer]:
    return answers_of(of or ready.model, ready.tokenizer, prompts, max_new_tokens=config.sample_tokens)
