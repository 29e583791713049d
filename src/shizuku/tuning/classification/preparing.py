"""Everything that a classifier needs before its first step: labelled texts, and a model with a head."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shizuku.checkpoints.digests import file_digest
from shizuku.errors import ConfigError, DocumentError
from shizuku.models.heads import HeadedDecoder
from shizuku.progress import say
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.base import open_base, put_adapter
from shizuku.tuning.classification.config import ClassifyConfig
from shizuku.tuning.classification.encoding import NoToken, read_text
from shizuku.tuning.classification.labelled import Labelled, LabelledTexts, read_labelled, split_labelled
from shizuku.tuning.dataset import LEAST_CONTEXT
from shizuku.tuning.examples import Example
from shizuku.tuning.head_rows import read_at_end


@dataclass(slots=True)
class Prepared:
    """A model with a head, perhaps with an adapter, and labelled texts that are ready for it."""

    model: HeadedDecoder
    tokenizer: Tokenizer
    base: Path
    train: list[Labelled]
    heldout: list[Labelled]
    examples: list[Example]
    """Those learned from, as token ids with their labels' numbers."""
    heldout_examples: list[Example]
    context: int
    """Tokens of a row."""
    cut: int
    """Texts, or pairs of them, that were cut."""
    pairs: bool
    """Whether they are pairs of texts."""
    data: dict[str, Any]
    """What the run record says of the data."""
    skipped: str
    """What was skipped, a line a reason."""


def prepare(config: ClassifyConfig, extra: Sequence[Labelled]) -> Prepared:
    """Read the texts and the model, and encode the former for the latter; `extra` ones are learned from."""
    problems = Problems()
    read, trained, held = _parted(config, extra, problems)
    pairs, labels = read.pair_column is not None, _checked(read, held)
    base = open_base(config.model, needs="head")
    model = HeadedDecoder(base.model, len(labels), labels=labels)
    if config.lora.rank:
        put_adapter(model, config.lora, base, seed=config.loop.seed)
    window = config.context or model.config.context
    if window > model.config.context:
        raise ConfigError(f"--context {window}: the model's window has {model.config.context} tokens")
    (trained, examples, cut_trained), (held, heldout_examples, cut_held) = (
        _encoded(base.tokenizer, items, labels, window, model.whole, problems) for items in (trained, held)
    )
    cut = cut_trained + cut_held
    if not examples:
        raise DocumentError(f"no text is left to learn from: {problems.report()} (--data)")
    if problems:
        say(problems.report())
    if cut:
        what, where = ("pairs", ", the longer text of each first") if pairs else ("texts", "")
        say(f"{what} longer than {window:,} tokens: {cut:,} cut{where} (--context)")
    if not held:
        say("no texts are held out, so nothing says how good the classifier is (--validation)")
    longest = max(len(one.ids) - 1 for one in (*examples, *heldout_examples))
    data = {
        "files": {str(file): file_digest(Path(file)) for file in (*config.data, *config.validation_data)},
        "columns": list(read.columns),
        "pairs": pairs,
        "pair_column": read.pair_column,
        "skipped": dict(problems.counts),
        "labels": list(labels),
        "texts": len(trained),
        "pseudo_labelled": len(extra),
        "heldout": len(held),
        "cut_too_long": cut,
    }
    return Prepared(
        model=model,
        tokenizer=base.tokenizer,
        base=base.path,
        train=trained,
        heldout=held,
        examples=examples,
        heldout_examples=heldout_examples,
        context=max(longest, LEAST_CONTEXT),
        cut=cut,
        pairs=pairs,
        data=data,
        skipped=problems.report(),
    )


def _parted(
    config: ClassifyConfig, extra: Sequence[Labelled], problems: Problems
) -> tuple[LabelledTexts, list[Labelled], list[Labelled]]:
    """All that was read, what of it is learned from, `extra` ones with it, and what is held out."""

    def read_files(files: Sequence[Path]) -> LabelledTexts:
        return read_labelled(
            files,
            text_column=config.text_column,
            pair_column=config.pair_column,
            label_column=config.label_column,
            problems=problems,
        )

    read = read_files(config.data)
    say(read.say())
    trained, held = split_labelled(read.items, config.validation, config.split_seed)
    if config.validation_data:
        trained, held = read.items, read_files(config.validation_data).items
    for flag, items in (("--validation-data", held), ("--unlabelled", extra)):
        check_pairs(items, pairs=read.pair_column is not None, flag=flag)
    known = {item.digest for item in held}
    return read, [item for item in [*trained, *extra] if item.digest not in known], held


def _encoded(
    tokenizer: Tokenizer,
    items: Sequence[Labelled],
    labels: Sequence[str],
    window: int,
    whole: bool,
    problems: Problems,
) -> tuple[list[Labelled], list[Example], int]:
    """The texts that have a token, as ids with their labels' numbers, and how many of them were cut."""
    place = {label: number for number, label in enumerate(labels)}
    kept, examples, cut = [], [], 0
    for item in items:
        try:
            text = read_text(tokenizer, item.read, window=window, whole=whole)
        except NoToken:
            problems.add("a text without any token", repr(item.text[:40]))
            continue
        kept.append(item)
        examples.append(read_at_end(text.ids, place[item.label], second=text.second))
        cut += text.cut
    return kept, examples, cut


def check_pairs(items: Sequence[Labelled], *, pairs: bool, flag: str) -> None:
    """DocumentError where these are single texts and those learned from are `pairs`, or the other way
    round.
    """
    if items and (items[0].text_pair is not None) != pairs:
        given, learned = ("single texts", "pairs of texts") if pairs else ("pairs of texts", "single texts")
        raise DocumentError(f"{flag} has {given}, --data {learned}: give the same kind (--pair-column)")


def _checked(read: LabelledTexts, held: Sequence[Labelled]) -> tuple[str, ...]:
    labels = read.labels
    if len(labels) < 2:
        raise DocumentError(
            f"all texts have the label {labels[0]!r}: a classifier needs two or more (--data)"
        )
    if len(labels) > 1000:
        raise DocumentError(
            f"{len(labels):,} labels for {len(read.items):,} texts: is {read.columns[1]} the column of the "
            "label? Name it with --label-column"
        )
    unknown = sorted({item.label for item in held} - set(labels))
    if unknown:
        raise DocumentError(f"--validation-data has the label {unknown[0]!r}, which --data has not")
    return labels
