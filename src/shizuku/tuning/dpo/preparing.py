"""Everything that DPO needs before its first step: pairs, model, tables, and what the reference says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shizuku.checkpoints.names import resolve
from shizuku.checkpoints.run_record import checkpoint_digest
from shizuku.errors import ConfigError
from shizuku.models.decoder import Decoder
from shizuku.progress import say
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.align_config import AlignConfig
from shizuku.tuning.base import open_base, put_adapter
from shizuku.tuning.dpo.reference import reference_logprobs
from shizuku.tuning.pair_examples import EncodedPairs
from shizuku.tuning.pair_rows import PairTable
from shizuku.tuning.pair_sets import data_record, encode_sides, read_sides
from shizuku.tuning.templates import with_template


@dataclass(slots=True)
class Prepared:
    """A model, perhaps with an adapter, and pairs that are ready for it."""

    model: Decoder
    tokenizer: Tokenizer
    base: Path
    train: EncodedPairs
    heldout: EncodedPairs
    tables: dict[str, PairTable]
    """`train`, and `heldout` if anything is held out; with the reference's log-probabilities."""
    data: dict[str, Any]
    """What the run record says of the data."""
    skipped: str
    """What was skipped, a line a reason."""
    reference: str
    """The name of the reference."""
    reference_digest: str
    """Its digest."""


def prepare(config: AlignConfig, *, write: bool = True) -> Prepared:
    """Read the pairs and the model, put the adapter on it, and encode the former for the latter.

    A base that is rounded is kept in `config.out` unless `write` is False.
    """
    problems = Problems()
    read, sides = read_sides(config, problems)
    adapted = config.lora.rank > 0
    base = open_base(config.model, config.base, out=config.out if write else None)
    model, tokenizer = with_template(base.model, base.tokenizer, config.chat_template, frozen=adapted)
    parts, context = encode_sides(config, tokenizer, sides, model.config.context, problems)
    if adapted:
        put_adapter(model, config.lora, base, seed=config.loop.seed)
    tables = {
        name: PairTable(part.items, context=context)
        for name, part in zip(("train", "heldout"), parts, strict=True)
        if part.items
    }
    other = config.reference
    data = data_record(config, read, parts, context, problems)
    digest = checkpoint_digest(base.path if other is None else resolve(other))
    if other is None and config.base != "float":
        digest = f"{digest} {config.base}"
    return Prepared(
        model, tokenizer, base.path, parts[0], parts[1], tables, data, problems.report(),
        config.model if other is None else other, digest,
    )  # fmt: skip


def add_reference(
    ready: Prepared, config: AlignConfig, trained: Sequence[int] | None = None
) -> dict[str, np.ndarray]:
    """Give the tables the reference's log-probabilities (see `--dpo.reference`), and return them.

    `trained` are the pairs of the training table that the run will see; none given: all.
    """
    if config.reference is not None:
        say(f"the reference is {config.reference}, not the model that training begins with")
    wanted = dict(ready.tables)
    if config.dpo.reference == "each":
        wanted.pop("train")
    found = reference_logprobs(
        wanted,
        {
            name: trained if name == "train" and trained is not None else range(len(table))
            for name, table in wanted.items()
        },
        model_digest=ready.reference_digest,
        # Before training an adapter adds nothing, so the model is its own reference.
        reference=lambda: ready.model if config.reference is None else reference_model(ready, config),
        out=config.out,
    )
    for name, logprobs_N2 in found.items():
        ready.tables[name].reference_N2 = logprobs_N2
    return found


def reference_model(ready: Prepared, config: AlignConfig) -> Decoder:
    """The reference read from its files; ConfigError where its tokens are others."""
    base = open_base(config.reference or config.model)
    model, tokenizer = with_template(base.model, base.tokenizer, config.chat_template)
    if tokenizer.backend.get_vocab() != ready.tokenizer.backend.get_vocab():
        raise ConfigError(
            f"--reference {base.name}: its tokenizer has other tokens than that of {config.model}, so their "
            "log-probabilities can't be compared: give a model with the same tokenizer"
        )
    return model.eval()
