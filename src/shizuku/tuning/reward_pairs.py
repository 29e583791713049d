"""Everything that a reward model needs before its first step: pairs, model with head, tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shizuku.adapters.surgery import attach, name_base
from shizuku.checkpoints.digests import file_digest
from shizuku.checkpoints.directory import load_checkpoint
from shizuku.checkpoints.names import resolve
from shizuku.checkpoints.run_record import checkpoint_digest
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.heads import HeadedDecoder
from shizuku.progress import say
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.dataset import LEAST_CONTEXT
from shizuku.tuning.head_rows import read_at_end
from shizuku.tuning.pair_examples import EncodedPair, EncodedPairs, encode_pairs, fitted_pairs, longest_side
from shizuku.tuning.pair_rows import PairTable
from shizuku.tuning.pairs import PreferencePair, read_pairs, split_pairs
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
    read = read_pairs(config.data, problems=problems)
    say(read.say())
    trained, held = split_pairs(read.items, config.validation, config.split_seed)
    if config.validation_data:
        held = read_pairs(config.validation_data, problems=problems).items
        trained = _apart(read.items, held, problems)
    if config.margins and any(pair.margin is None for pair in trained):
        raise ConfigError("--margins: not every pair has a margin (a number under `margin`): leave it out")
    path = resolve(config.model)
    found = load_checkpoint(path)
    if found.tokenizer is None:
        raise CheckpointError(f"{path} has no tokenizer: put its tokenizer.json there")
    adapted = config.lora.rank > 0
    decoder, tokenizer = with_template(found.model, found.tokenizer, config.chat_template, frozen=adapted)
    parts, context = _encoded(config, tokenizer, (trained, held), decoder.config.context, problems)
    model = HeadedDecoder(decoder, 1)
    if adapted:
        put_adapter(model, config, path)
    return Prepared(
        model=model,
        tokenizer=tokenizer,
        base=path,
        train=parts[0],
        heldout=parts[1],
        tables=_tables(parts, context, margins=config.margins),
        data={
            "files": {str(file): file_digest(Path(file)) for file in (*config.data, *config.validation_data)},
            "formats": dict(read.formats),
            "skipped": dict(problems.counts),
            "train": parts[0].counts(),
            "heldout": parts[1].counts(),
            "context": context,
        },
        skipped=problems.report(),
    )


def put_adapter(model: HeadedDecoder, config: Any, base: Path) -> None:
    """Put the adapter of a run's config below the head of a model that was opened from `base`."""
    attach(model, config.lora, seed=config.loop.seed)
    given = Path(config.model).expanduser()
    name_base(model, str(base.resolve()) if given.exists() else config.model, checkpoint_digest(base))


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


def _encoded(
    config: RewardConfig,
    tokenizer: Tokenizer,
    sides: tuple[Sequence[PreferencePair], Sequence[PreferencePair]],
    longest: int,
    problems: Problems,
) -> tuple[list[EncodedPairs], int]:
    """Pairs to learn from and held-out ones, encoded and fitted, and the tokens of a row."""
    if config.context is not None and config.context > longest:
        raise ConfigError(f"--context {config.context}: the model's window has {longest} tokens")
    encoded = [encode_pairs(tokenizer, some, problems=problems) if some else EncodedPairs() for some in sides]
    needed = 1 + max(longest_side(one.items) for one in encoded)
    context = config.context or min(max(needed, LEAST_CONTEXT), longest)
    # Here the last token is read, not only told, and takes its place in the window.
    parts = [
        fitted_pairs(one, context - 1, too_long=config.too_long) if one.items else one for one in encoded
    ]
    if problems:
        say(problems.report())
    for part in parts:
        if part.dropped or part.cut:
            say(
                f"pairs with a side longer than {context:,} tokens: {part.dropped:,} dropped, {part.cut:,} "
                "cut (--too-long, --context)"
            )
    if not parts[1].items:
        say("no pairs are held out, so nothing says how well the preferences carry over (--validation)")
    return parts, context


def _apart(
    trained: Sequence[PreferencePair], held: Sequence[PreferencePair], problems: Problems
) -> list[PreferencePair]:
    """The pairs to learn from whose prompts are not held out."""
    known = {pair.prompt_digest() for pair in held}
    kept = []
    for pair in trained:
        if pair.prompt_digest() in known:
            problems.add("the prompt is held out", pair.id)
        else:
            kept.append(pair)
    return kept
