"""Settings of `shizuku classify`; nothing here needs torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from shizuku.adapters.config import AdapterConfig
from shizuku.config import VerbConfig, check_threads
from shizuku.errors import ConfigError
from shizuku.training.config import LoopConfig
from shizuku.tuning.config import check_tuning
from shizuku.tuning.reward_config import adapter_rate, head_loop


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifyConfig(VerbConfig):
    """Train a classifier on labelled texts or pairs of texts, or let one label such."""

    model: tyro.conf.Positional[str]
    """The model that the head is put on; with --predict and no --data, a classifier."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Directory of the classifier, with report.html, and of predictions.jsonl."""
    data: tuple[Path, ...] = ()
    """Files of labelled texts: CSV, JSON lines, JSON or Parquet."""
    predict: tuple[Path, ...] = ()
    """Files of texts to label, into predictions.jsonl."""
    unlabelled: tuple[Path, ...] = ()
    """Files of texts without labels: those that a first classifier is sure of are learned from too, with its
    labels.
    """
    confidence: float = 0.95
    """How sure, in probability, it has to be of such a text."""
    text_column: str | None = None
    """Column or key of the text; none given: found out (text, sentence, content, tweet, …)."""
    pair_column: str | None = None
    """Column or key of the second text, where a label is that of two texts; none given: found out
    (text and text_pair, sentence1 and sentence2, premise and hypothesis, question1 and question2, question
    and sentence), unless --text-column names one to read alone.
    """
    label_column: str | None = None
    """Column or key of the label; none given: found out (label, class, category, target, …)."""
    epochs: float = 3.0
    """How many times the texts are gone through; --steps says otherwise."""
    context: Annotated[int | None, tyro.conf.arg(aliases=["-c"])] = None
    """Tokens of a text at most, the rest is cut; none given: the model's window."""
    batch_size: int = 1
    """Rows of a batch, each of which holds several texts; a step takes loop.accumulate batches."""
    validation: float = 0.1
    """Share of each label's texts that is held out; 0 for none."""
    validation_data: tuple[Path, ...] = ()
    """Files of labelled texts to hold out in place of a share of --data."""
    split_seed: int = 0
    """Seed of what is held out."""
    keep: Literal["best", "last"] = "best"
    """Which weights are kept: those with the lowest held-out loss, or those of the last step, as always with
    --loop.ema.
    """
    report: bool = True
    """Write report.html (extra: report)."""
    lora: AdapterConfig = field(default_factory=AdapterConfig)
    """The adapter that is trained in place of the model, with the head, if its rank is not 0."""
    threads: Annotated[int | None, tyro.conf.arg(aliases=["-t"])] = None
    """Processor threads; none given: all cores."""
    dry_run: bool = False
    """Say what would be done and how long it would take, and stop."""
    loop: LoopConfig = field(default_factory=head_loop)
    """When things happen, and what moves the weights."""

    def __post_init__(self) -> None:
        check_threads(self.threads)
        check_tuning(self)
        if not 0 < self.confidence <= 1:
            raise ConfigError(f"--confidence {self.confidence}: expected a probability above 0, at most 1")

    @classmethod
    def brought_along(cls, chosen: Mapping[str, object]) -> Mapping[str, object]:
        """With an adapter the learning rate is another."""
        return adapter_rate(chosen)


def check_work(config: ClassifyConfig) -> None:
    """ConfigError where there is nothing to do, or nothing to do it with."""
    if not config.data and not config.predict:
        raise ConfigError("give --data with labelled texts to learn from, or --predict with texts to label")
    if config.dry_run and not config.data:
        raise ConfigError("--dry-run foretells training: give --data, or leave it out to label texts")
    if config.unlabelled and not config.data:
        raise ConfigError("--unlabelled: there are no labelled texts to begin with: give --data")
