"""The tuning stage of a life: conversations out of the town's facts or out of the text, and the tuning.

The base model reads questions with their answers (town), or exercises (other texts), mixed with pieces of
the text that it was trained on, so that it goes on writing as before; the loss of a conversation counts
the answers, that of a piece every token.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from shizuku.checkpoints.directory import load_checkpoint
from shizuku.config import to_dict
from shizuku.data.exercises import exercises
from shizuku.data.shards import ShardSet
from shizuku.data.town import build_town
from shizuku.data.town.lesson import Lesson
from shizuku.data.town.lessons import town_lessons
from shizuku.data.town.randomness import Choices
from shizuku.life.corpus import HELDOUT, TRAIN, documents_of
from shizuku.life.making import BASE, CHECKPOINT, SHARDS, batches
from shizuku.life.settings import LifeConfig
from shizuku.progress import say
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.config import LoopConfig, OptimizerConfig, ScheduleConfig
from shizuku.training.loop import train
from shizuku.training.objectives import NextToken
from shizuku.tuning.dataset import encode_conversations, fitted
from shizuku.tuning.examples import Conversation, Example
from shizuku.tuning.rows import ExampleRows

OPTIMIZER = OptimizerConfig(learning_rate=0.004, embedding_learning_rate=0.01, muon_learning_rate=0.03)
"""About what the base is trained with."""
TURNS = 3
"""Questions in a conversation at most."""
TOKENS_PER_BATCH = 1024
"""A quarter of the base's: facts are learned by many small steps sooner than by few large ones."""
REPLAY = 0.1
"""Share of the tokens that are pieces of the text."""
MOST_EXERCISES = 40_000
TOKENS_PER_LESSON, FEWEST_LESSONS = 35, 300
"""Tokens of a question with its answer, about: more of them than can be read once are not encoded."""
LEAST_SECONDS = 2.0


def tune_model(
    config: LifeConfig, trained: dict[str, Any], days: int | None, *, seconds: float
) -> dict[str, Any]:
    """Tune the base for about `seconds` and leave it in `model/`; a killed run goes on from its last save."""
    started = time.monotonic()
    found = load_checkpoint(config.out / BASE)
    tokenizer = found.tokenizer
    assert tokenizer is not None, "a life saves its base with a tokenizer"
    taught, _ = school(config, days)
    affordable = int(trained["tokens_per_second"] * seconds / TOKENS_PER_LESSON)
    taught = Choices(config.seed, "taught").some(taught, max(affordable, FEWEST_LESSONS))
    examples, counts = _examples(config, tokenizer, taught, trained)
    rows = max(TOKENS_PER_BATCH // config.context, 1)
    source = ExampleRows(examples, context=config.context, batch_size=rows, seed=config.seed)
    loop = LoopConfig(
        max_seconds=max(seconds - (time.monotonic() - started), LEAST_SECONDS),
        seed=config.seed,
        resume=True,
        save_minutes=1.0,
        optimizer=OPTIMIZER,
        schedule=ScheduleConfig(kind="wsd"),
    )
    say(f"{counts['lessons']:,} questions in {counts['conversations']:,} conversations")
    result = train(
        found.model, NextToken(), source, loop, out=config.out / CHECKPOINT, tokenizer=tokenizer,
    )  # fmt: skip
    seen = source.seen()
    passes = seen.tokens / (counts["lesson_tokens"] + counts["replayed_tokens"])
    return {**to_dict(result), **counts, "passes": passes, "tuned_tokens": seen.tokens}


def _examples(
    config: LifeConfig,
    tokenizer: Tokenizer,
    taught: Sequence[Lesson],
    trained: dict[str, Any],
) -> tuple[list[Example], dict[str, Any]]:
    """The conversations as the model reads them, and pieces of the text that the base has read."""
    talks = conversations(taught, seed=config.seed)
    encoded = fitted(encode_conversations(tokenizer, talks), config.context, too_long="drop")
    size = sum(len(example.ids) for example in encoded.examples)
    wanted, replayed = size * REPLAY / (1 - REPLAY), 0
    shards = ShardSet.open(config.out / SHARDS / "train", tokenizer=tokenizer, verify=False)
    read = min(trained["tokens_seen"], shards.tokens) // config.context
    pieces: list[Example] = []
    for piece in Choices(config.seed, "replay").shuffled(list(batches(config, shards).pieces_seen(read))):
        if replayed >= wanted:
            break
        ids = [int(token) for token in piece[: config.context + 1]]
        if len(ids) > 1:
            pieces.append(Example(ids, [True] * len(ids)))
            replayed += len(ids)
    counts = {
        "lessons": len(taught),
        "conversations": len(talks),
        "dropped": encoded.dropped,
        "lesson_tokens": size,
        "replayed_tokens": replayed,
    }
    return [*encoded.examples, *pieces], counts
