"""Pairs to learn from and held-out ones, read, told apart, encoded and fitted, and what is said of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from shizuku.checkpoints.digests import file_digest
from shizuku.errors import ConfigError, DocumentError
from shizuku.progress import say
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.dataset import LEAST_CONTEXT
from shizuku.tuning.pair_examples import EncodedPairs, encode_pairs, fitted_pairs, longest_side
from shizuku.tuning.pairs import Pairs, PreferencePair, read_pairs, split_pairs

Sides = tuple[Sequence[PreferencePair], Sequence[PreferencePair]]
"""Pairs to learn from, and held-out ones."""


class PairSettings(Protocol):
    """The settings of a run on preference pairs that decide what is read."""

    @property
    def data(self) -> tuple[Path, ...]: ...
    @property
    def validation_data(self) -> tuple[Path, ...]: ...
    @property
    def validation(self) -> float: ...
    @property
    def split_seed(self) -> int: ...
    @property
    def context(self) -> int | None: ...
    @property
    def too_long(self) -> Any: ...


def read_sides(config: PairSettings, problems: Problems) -> tuple[Pairs, Sides]:
    """What was read, and its two parts; no prompt is in both."""
    read = read_pairs(config.data, problems=problems)
    say(read.say())
    if not config.validation_data:
        return read, split_pairs(read.items, config.validation, config.split_seed)
    held = read_pairs(config.validation_data, problems=problems).items
    known, kept = {pair.prompt_digest() for pair in held}, []
    for pair in read.items:
        if pair.prompt_digest() in known:
            problems.add("the prompt is held out", pair.id)
        else:
            kept.append(pair)
    return read, (kept, held)


def encode_sides(
    config: PairSettings,
    tokenizer: Tokenizer,
    sides: Sides,
    longest: int,
    problems: Problems,
    *,
    last_read: bool = False,
) -> tuple[list[EncodedPairs], int]:
    """Both parts encoded and fitted, and the tokens of a row, at most `longest`.

    `last_read`: the last token is read, not only told, and takes its place in the window.
    """
    if config.context is not None and config.context > longest:
        raise ConfigError(f"--context {config.context}: the model's window has {longest} tokens")
    encoded = [encode_pairs(tokenizer, some, problems=problems) if some else EncodedPairs() for some in sides]
    needed = max(longest_side(one.items) for one in encoded) + last_read
    context = config.context or min(max(needed, LEAST_CONTEXT), longest)
    room, how = context - last_read, config.too_long
    parts = [fitted_pairs(one, room, too_long=how) if one.items else one for one in encoded]
    if problems:
        say(problems.report())
    if not parts[0].items:
        raise DocumentError(
            f"no pair of {', '.join(map(str, config.data))} is left to learn from: {problems.report()} "
            "(--data, --validation-data)"
        )
    for part in parts:
        if part.dropped or part.cut:
            say(
                f"pairs with a side longer than {context:,} tokens: {part.dropped:,} dropped, {part.cut:,} "
                "cut (--too-long, --context)"
            )
    if not parts[1].items:
        say("no pairs are held out, so nothing says how well the preferences carry over (--validation)")
    return parts, context


def data_record(
    config: PairSettings, read: Pairs, parts: Sequence[EncodedPairs], context: int, problems: Problems
) -> dict[str, Any]:
    """What a run record says of the pairs."""
    return {
        "files": {str(file): file_digest(Path(file)) for file in (*config.data, *config.validation_data)},
        "formats": dict(read.formats),
        "skipped": dict(problems.counts),
        "train": parts[0].counts(),
        "heldout": parts[1].counts(),
        "context": context,
    }
