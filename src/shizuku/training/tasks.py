"""What a model learns from text, by how its architecture goes through one: the objective and its batches."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from shizuku.data.masked_rows import MaskedRows, MaskedValidation
from shizuku.data.packing import PackedBatches, SomeOf, ValidationBatches
from shizuku.data.shards import ShardSet
from shizuku.errors import ConfigError
from shizuku.models.architectures import architecture_of
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.batches import BatchSource
from shizuku.training.config import TrainConfig
from shizuku.training.masked import FillIn, MaskedHeldOut, MaskedSource
from shizuku.training.objectives import NextToken, Objective


@dataclass(frozen=True, slots=True)
class Task:
    """What is learned, and from what."""

    objective: Objective
    """What turns a batch into a loss."""
    source: BatchSource
    """The batches to learn from."""
    validation: Iterable[Any] | None
    """Those to judge by; None where nothing is held out."""


def task_of(
    config: TrainConfig,
    shape: Any,
    train: ShardSet,
    heldout: ShardSet | None,
    tokenizer: Tokenizer,
    *,
    share: tuple[int, int],
) -> Task:
    """Hidden tokens for what reads whole texts, the next token for all else, for a model of the config
    `shape`; `share` is this process's rank and their number.
    """
    whole = architecture_of(shape).runs == "whole"
    return (_filling_in if whole else _going_on)(config, shape, train, heldout, tokenizer, share)


def _going_on(
    config: TrainConfig,
    shape: Any,
    train: ShardSet,
    heldout: ShardSet | None,
    tokenizer: Tokenizer,
    share: tuple[int, int],
) -> Task:
    cut = {"context": shape.context, "batch_size": config.batch_size, "boundaries": config.boundaries}
    source = PackedBatches(train, seed=config.loop.seed, rank=share[0], world=share[1], **cut)
    validation = None
    if heldout is not None:
        validation = SomeOf(ValidationBatches(heldout, **cut), config.validation_tokens)
    return Task(NextToken(config.z_loss), source, validation)


def _filling_in(
    config: TrainConfig,
    shape: Any,
    train: ShardSet,
    heldout: ShardSet | None,
    tokenizer: Tokenizer,
    share: tuple[int, int],
) -> Task:
    if config.z_loss or not config.boundaries:
        flag = "--z-loss" if config.z_loss else "--no-boundaries"
        raise ConfigError(f"{flag}: --architecture {config.architecture} has no such thing: leave it out")
    rows = partial(
        MaskedRows,
        tokenizer=tokenizer,
        context=shape.context,
        batch_size=config.batch_size,
        pairs=shape.pair_head,
    )
    source = MaskedSource(rows(train, seed=config.loop.seed, share=share))
    validation = None
    if heldout is not None:
        held = rows(heldout, seed=config.split_seed)
        validation = MaskedHeldOut(MaskedValidation(held, config.validation_tokens))
    return Task(FillIn(shape), source, validation)
