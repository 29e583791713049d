"""Everything that a sentence encoder needs before its first step: pairs as token ids, and a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shizuku.checkpoints.digests import file_digest
from shizuku.checkpoints.pooling import Pooling, declared_pooling
from shizuku.errors import ConfigError, DocumentError
from shizuku.inference.embedding import ids_to_embed
from shizuku.inference.runtime import reads_whole
from shizuku.language_model import LanguageModel
from shizuku.progress import say
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.base import Base, open_base, put_adapter
from shizuku.tuning.classification.encoding import cut_to
from shizuku.tuning.embedding.batches import EncodedTexts, TextTable
from shizuku.tuning.embedding.config import EmbedTrainConfig
from shizuku.tuning.embedding.pairs import (
    TextPair,
    TextPairs,
    read_lines_together,
    read_text_pairs,
    split_pairs,
    without,
)


@dataclass(slots=True)
class Prepared:
    """A model, perhaps with an adapter, and pairs that are ready for it."""

    model: Any
    """The model, of any architecture that gives vectors of texts."""
    tokenizer: Tokenizer
    base: Path
    table: TextTable
    """The pairs learned from."""
    judged: list[TextPair]
    """The held-out pairs that are looked at."""
    judged_ids: list[EncodedTexts]
    """The same as ids."""
    heldout: int
    """Held-out pairs in all."""
    pooling: Pooling
    window: int
    """Tokens of a text at most."""
    cut: int
    """Texts that were cut."""
    single: bool
    """Whether single texts are learned from."""
    data: dict[str, Any]
    """What the run record says of the data."""
    skipped: str
    """What was skipped, a line a reason."""

    def language_model(self) -> LanguageModel:
        """The model as it stands, behind the face that gives vectors."""
        return LanguageModel(self.model, self.tokenizer)


def prepare(config: EmbedTrainConfig) -> Prepared:
    """Read the pairs and the model, and encode the former for the latter."""
    problems = Problems()
    read = _read(config, "", problems)
    say(read.say())
    trained, held = _parted(config, read, problems)
    _check_dropout(config, single=read.single)
    base = open_base(config.model, needs="embed")
    lm = LanguageModel(base.model, base.tokenizer)
    pooling, window = _checked(config, base, lm)
    if config.lora.rank:
        put_adapter(base.model, config.lora, base, seed=config.loop.seed)
    judged = held[: config.judged]
    parts = [_encoded(lm, items, window) for items in (trained, judged)]
    cut = sum(more for _, more in parts)
    if problems:
        say(problems.report())
    if cut:
        say(f"texts longer than {window:,} tokens: {cut:,} cut (--context)")
    if len(judged) < 2:
        say("fewer than two pairs are held out, so nothing says how good the vectors are (--validation)")
        judged, parts[1] = [], ([], 0)
    table = TextTable(parts[0][0])
    if config.batch_size > len(table):
        raise ConfigError(
            f"--batch-size {config.batch_size}: there are only {len(table)} pairs to learn from"
        )
    data = {
        "files": {str(file): file_digest(file) for file in _files(config)},
        "columns": list(read.columns),
        "skipped": dict(problems.counts),
        "pairs": len(table),
        "heldout": len(held),
        "judged": len(judged),
        "cut_too_long": cut,
        "pooling": pooling,
    }
    return Prepared(
        model=base.model,
        tokenizer=base.tokenizer,
        base=base.path,
        table=table,
        judged=judged,
        judged_ids=parts[1][0],
        heldout=len(held),
        pooling=pooling,
        window=window,
        cut=cut,
        single=read.single,
        data=data,
        skipped=problems.report(),
    )


def _read(config: EmbedTrainConfig, prefix: str, problems: Problems) -> TextPairs:
    source, target = (getattr(config, f"{prefix}{side}") for side in ("source", "target"))
    if source is not None:
        flags = (f"--{prefix}source".replace("_", "-"), f"--{prefix}target".replace("_", "-"))
        return read_lines_together(source, target, flags=flags, problems=problems)
    return read_text_pairs(
        getattr(config, f"{prefix}data"),
        text_column=config.text_column,
        pair_column=config.pair_column,
        negative_column=config.negative_column,
        problems=problems,
    )


def _parted(
    config: EmbedTrainConfig, read: TextPairs, problems: Problems
) -> tuple[list[TextPair], list[TextPair]]:
    """The pairs to learn from, and those held out."""
    if config.validation_data or config.validation_source is not None:
        held = _read(config, "validation_", problems)
        if held.single:
            raise DocumentError("--validation-data has single texts: nothing can be looked for: give pairs")
        return without(read.items, held.items), held.items
    if read.single:
        return read.items, []
    return split_pairs(read.items, config.validation, config.split_seed)


def _check_dropout(config: EmbedTrainConfig, *, single: bool) -> None:
    if single and not (config.loop.dropout or (config.lora.rank and config.lora.dropout)):
        raise ConfigError(
            "--loop.dropout 0: single texts are learned from by reading each twice with other neurons left "
            "out, and none are: give --loop.dropout 0.1, or pairs of texts (--pair-column)"
        )


def _checked(config: EmbedTrainConfig, base: Base, lm: LanguageModel) -> tuple[Pooling, int]:
    """How vectors are pooled, and how many tokens a text may have."""
    whole, longest = reads_whole(lm.runtime), lm.context
    pooling = config.pooling or declared_pooling(base.path if base.path.is_dir() else None)
    if pooling == "first" and not whole:
        raise ConfigError(
            f"--pooling first: {base.name} reads from left to right, so its first token knows nothing: leave "
            "it out, or give mean"
        )
    window = longest if config.context is None else config.context
    if window > longest or (whole and window < 3):
        raise ConfigError(
            f"--context {window}: expected {3 if whole else 2} to {longest}, the model's window"
        )
    return pooling, window


def _encoded(lm: LanguageModel, items: Sequence[TextPair], window: int) -> tuple[list[EncodedTexts], int]:
    """The pairs as ids, and how many of their texts were cut."""
    whole, cut = reads_whole(lm.runtime), 0

    def ids_of(text: str) -> list[int]:
        nonlocal cut
        ids = ids_to_embed(lm.engine, lm.tokenizer, text)
        cut += len(ids) > window
        return cut_to(ids, window, whole=whole)

    found = []
    for item in items:
        text = ids_of(item.text)
        other = text if item.other is None else ids_of(item.other)
        found.append(EncodedTexts(text, other, tuple(ids_of(each) for each in item.negatives)))
    return found, cut


def _files(config: EmbedTrainConfig) -> list[Path]:
    lines = (config.source, config.target, config.validation_source, config.validation_target)
    return [*config.data, *config.validation_data, *(file for file in lines if file is not None)]
