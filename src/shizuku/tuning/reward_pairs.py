"""Everything that a reward model needs before its first step: pairs, model with head, tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shizuku.errors import ConfigError
from shizuku.models.architectures import require
from shizuku.models.heads import HeadedDecoder
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.base import open_base, put_adapter
from shizuku.tuning.head_rows import read_at_end
from shizuku.tuning.pair_examples import EncodedPair, EncodedPairs
from shizuku.tuning.pair_rows import PairTable
from shizuku.tuning.pair_sets import data_record, encode_sides, read_sides
from shizuku.tuning.reward_config import RewardConfig
from shizuku.tuning.templates import with_template


@dataclass(slots=True)
class Prepared:
    """A model with a head, perhaps with an adapter, and pairs that are ready for it."""

    model: HeadedDecoder
    tokenizer: Tokenizer
    base: Path
    train: EncodedPairs
    heldout: EncodedPairs
    tables: dict[str, PairTable]
    """`train`, and `heldout` if anything is held out; each side is read at its last token."""
    data: dict[str, Any]
    """What the run record says of the data."""
    skipped: str
    """What was skipped, a line a reason."""


def prepare(config: RewardConfig) -> Prepared:
    """Read the pairs and the model, and encode the former for the latter."""
    problems = Problems()
    read, sides = read_sides(config, problems)
    if config.margins and any(pair.margin is None for pair in sides[0]):
        raise ConfigError("--margins: not every pair has a margin (a number under `margin`): leave it out")
    base, adapted = open_base(config.model, needs="head"), config.lora.rank > 0
    require(base.model.config, "generate")
    decoder, tokenizer = with_template(base.model, base.tokenizer, config.chat_template, frozen=adapted)
    parts, context = encode_sides(config, tokenizer, sides, decoder.config.context, problems, last_read=True)
    model = HeadedDecoder(decoder, 1)
    if adapted:
        put_adapter(model, config.lora, base, seed=config.loop.seed)
    return Prepared(
        model=model,
        tokenizer=tokenizer,
        base=base.path,
        train=parts[0],
        heldout=parts[1],
        tables=_tables(parts, context, margins=config.margins),
        data=data_record(config, read, parts, context, problems),
        skipped=problems.report(),
    )


def _tables(parts: Sequence[EncodedPairs], context: int, *, margins: bool) -> dict[str, PairTable]:
    tables = {}
    for name, part in zip(("train", "heldout"), parts, strict=True):
        if not part.items:
            continue
        # The held-out loss is that of the choice alone, so that runs with and without margins compare.
        asked = None
        if margins and name == "train":
            asked = np.array([[pair.source.margin, 0.0] for pair in part.items], dtype=np.float32)
        sides = [
            EncodedPair(read_at_end(pair.chosen.ids), read_at_end(pair.rejected.ids), pair.source)
            for pair in part.items
        ]
        tables[name] = PairTable(sides, context=context, reference=asked)
    return tables
