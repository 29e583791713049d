"""The tuning stage of a life: lessons beside text that the base has not read yet.

A batch has rows of conversations, in which the answers are learned, and rows of text, in which every token
is, so that the model goes on learning to write while it learns to answer.
"""

import time
from collections.abc import Sequence
from typing import Any

from shizuku.checkpoints.directory import load_checkpoint
from shizuku.config import to_dict
from shizuku.data.mixing import MixedBatches
from shizuku.data.packing import PackedBatches
from shizuku.data.shards import ShardSet
from shizuku.data.town.lesson import Lesson
from shizuku.data.town.lessons import TOPICS
from shizuku.data.town.randomness import Choices
from shizuku.life.curriculum import conversations, school
from shizuku.life.making import BASE, CHECKPOINT, SHARDS, rows_of_batch
from shizuku.life.settings import LifeConfig
from shizuku.progress import say
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.config import LoopConfig, OptimizerConfig, ScheduleConfig
from shizuku.training.loop import train
from shizuku.training.objectives import NextToken
from shizuku.tuning.dataset import encode_conversations, fitted
from shizuku.tuning.rows import ExampleRows

OPTIMIZER = OptimizerConfig(learning_rate=0.004, embedding_learning_rate=0.015, muon_learning_rate=0.015)
"""Facts want a high rate of the embeddings; a high one of Muon, in steps this small, spoils the writing."""
LESSON_TOKENS, TEXT_TOKENS = 768, 512
"""Of a batch, which is a third of the base's: facts are learned by many small steps sooner than by few
large ones.
"""
TOKENS_PER_LESSON, FEWEST_LESSONS = 30, 300
"""Tokens of a question with its answer, about: more of them than can be read once are not encoded."""
TOKENS_PER_FACT, FEWEST_FACTS = 5_000, 40
"""Tokens of lessons that it takes to teach one of the town's facts, in both languages and beside the rest."""
LOOK_UP_TIMES, YES_OR_NO_TIMES = 4, 2
"""How often a question about a fact is asked for each time that one of the others is."""
LEAST_SECONDS = 2.0
SAFETY = 0.92
"""Share of the time that is left which steps are planned for: their speed is measured once."""


def tune_model(
    config: LifeConfig, plan: dict[str, Any], trained: dict[str, Any], days: int | None, *, seconds: float
) -> dict[str, Any]:
    """Tune the base for `seconds` and leave it in `model/`; a killed run goes on from its last save.

    How many facts are taught depends on what was planned, so that a resumed run teaches the same ones.
    """
    started = time.monotonic()
    found = load_checkpoint(config.out / BASE)
    tokenizer = found.tokenizer
    assert tokenizer is not None, "a life saves its base with a tokenizer"
    tokens = (
        SAFETY
        * trained["tokens_per_second"]
        * plan["tuning_seconds"]
        * LESSON_TOKENS
        / (LESSON_TOKENS + TEXT_TOKENS)
    )
    facts = None if days is None else max(int(tokens / TOKENS_PER_FACT), FEWEST_FACTS)
    taught, _ = school(config, days, facts)
    lessons, counts = _lessons(config, tokenizer, taught, int(tokens / TOKENS_PER_LESSON))
    text = _further_text(config, tokenizer, trained)
    read = text.state_dict()["rows"]
    loop = LoopConfig(
        max_seconds=max(SAFETY * (seconds - (time.monotonic() - started)), LEAST_SECONDS),
        seed=config.seed,
        resume=True,
        save_minutes=1.0,
        optimizer=OPTIMIZER,
        schedule=ScheduleConfig(kind="wsd"),
    )
    say(f"{counts['lessons']:,} questions in {counts['conversations']:,} conversations")
    result = train(
        found.model, NextToken(), MixedBatches([lessons, text]), loop,
        out=config.out / CHECKPOINT, tokenizer=tokenizer,
    )  # fmt: skip
    seen = lessons.seen().tokens
    return {
        **to_dict(result),
        **counts,
        "facts": facts,
        "facts_taught": len({lesson.fact for lesson in taught if lesson.topic in TOPICS}),
        "passes": seen / counts["lesson_tokens"],
        "lesson_tokens_seen": seen,
        "text_tokens_seen": (text.state_dict()["rows"] - read) * config.context,
    }


def _lessons(
    config: LifeConfig, tokenizer: Tokenizer, taught: Sequence[Lesson], most: int
) -> tuple[ExampleRows, dict[str, Any]]:
    """The lessons as rows of conversations, those on facts more than once."""
    asked = [lesson for lesson in taught for _ in range(_times(lesson))]
    asked = Choices(config.seed, "taught").some(asked, max(most, FEWEST_LESSONS))
    talks = conversations(asked, seed=config.seed)
    encoded = fitted(encode_conversations(tokenizer, talks), config.context, too_long="drop")
    rows = max(LESSON_TOKENS // config.context, 1)
    counts = {
        "lessons": len(asked),
        "conversations": len(talks),
        "dropped": encoded.dropped,
        "lesson_tokens": sum(len(example.ids) for example in encoded.examples),
    }
    source = ExampleRows(encoded.examples, context=config.context, batch_size=rows, seed=config.seed)
    return source, counts


def _times(lesson: Lesson) -> int:
    if lesson.topic in TOPICS:
        return LOOK_UP_TIMES
    return YES_OR_NO_TIMES if lesson.fact is not None else 1


def _further_text(config: LifeConfig, tokenizer: Tokenizer, trained: dict[str, Any]) -> PackedBatches:
    """The text from where the base left off, in the same order."""
    shards = ShardSet.open(config.out / SHARDS / "train", tokenizer=tokenizer, verify=False)
    rows = max(TEXT_TOKENS // config.context, 1)
    text = PackedBatches(shards, context=config.context, batch_size=rows, seed=config.seed)
    read = trained["tokens_seen"] // (rows_of_batch(config) * config.context) * rows_of_batch(config)
    text.load_state_dict({**text.state_dict(), "rows": read})
    return text
