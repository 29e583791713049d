"""Settings of `shizuku embed train`; nothing here needs torch."""

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
class EmbedTrainConfig(VerbConfig):
    """Train a sentence encoder on pairs of texts that belong together, so that their vectors lie near each
    other.
    """

    model: tyro.conf.Positional[str]
    """The model that is trained: an encoder, or any other that gives vectors of texts."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Directory of the trained model, with 1_Pooling/ and report.html."""
    data: tuple[Path, ...] = ()
    """Files of pairs: CSV, JSON lines, JSON or Parquet, perhaps with a negative beside each pair; of single
    texts, each is read twice with other neurons left out (--loop.dropout; SimCSE).
    """
    source: Path | None = None
    """In place of --data: texts, one a line (.gz too)."""
    target: Path | None = None
    """What belongs to each line of --source, line by line."""
    text_column: str | None = None
    """Column or key of the first text; none given: found out (anchor, query, question, text, …)."""
    pair_column: str | None = None
    """Column or key of the second; none given: found out (positive, passage, answer, text_pair, …)."""
    negative_column: str | None = None
    """Column or key of a text, or a list of texts, that the first must be told from; none given: negative or
    negatives, where there is one.
    """
    pooling: Literal["mean", "first"] | None = None
    """How the vectors of a text's tokens become one; none given: as the model's directory says, else the
    mean.
    """
    temperature: float = 0.05
    """What cosines are divided by: the smaller, the more the nearest strangers count."""
    both_ways: bool = False
    """Whether the first text is looked for from the second too, as between two languages."""
    epochs: float = 1.0
    """How many times the pairs are gone through; --steps says otherwise."""
    context: Annotated[int | None, tyro.conf.arg(aliases=["-c"])] = None
    """Tokens of a text at most, the rest is cut; none given: the model's window."""
    batch_size: int = 32
    """Pairs of a batch: each text is told from the others in it, so more make the task harder. Batches that
    --loop.accumulate puts into one step add pairs to it, and no strangers to a pair.
    """
    validation: float = 0.1
    """Share of the pairs that is held out; 0 for none."""
    validation_data: tuple[Path, ...] = ()
    """Files of pairs to hold out in place of a share."""
    validation_source: Path | None = None
    """Texts to hold out in place of a share, one a line."""
    validation_target: Path | None = None
    """What belongs to each of them."""
    judged: int = 1000
    """Held-out pairs at most, among whose second texts each first one looks for its own, before and after."""
    split_seed: int = 0
    """Seed of what is held out."""
    keep: Literal["best", "last"] = "best"
    """Which weights are kept: those with the lowest held-out loss, or those of the last step, as always with
    --loop.ema.
    """
    report: bool = True
    """Write report.html (extra: report)."""
    lora: AdapterConfig = field(default_factory=AdapterConfig)
    """The adapter that is trained in place of a decoder, if its rank is not 0."""
    threads: Annotated[int | None, tyro.conf.arg(aliases=["-t"])] = None
    """Processor threads; none given: all cores."""
    dry_run: bool = False
    """Say what would be done and how long it would take, and stop."""
    loop: LoopConfig = field(default_factory=head_loop)
    """When things happen, and what moves the weights."""

    def __post_init__(self) -> None:
        check_threads(self.threads)
        check_tuning(self)
        if self.batch_size < 2:
            raise ConfigError(
                f"--batch-size {self.batch_size}: a text is told from the others of its batch: give 2 or more"
            )
        if not self.temperature > 0:
            raise ConfigError(f"--temperature {self.temperature}: expected more than 0")
        if self.judged < 2:
            raise ConfigError(f"--judged {self.judged}: a text is looked for among two or more")

    @classmethod
    def brought_along(cls, chosen: Mapping[str, object]) -> Mapping[str, object]:
        """With an adapter the learning rate is another."""
        return adapter_rate(chosen)


def check_work(config: EmbedTrainConfig) -> None:
    """ConfigError unless there is one kind of input, whole."""
    for prefix, files in (("", config.data), ("validation_", config.validation_data)):
        lines = [getattr(config, f"{prefix}{side}") for side in ("source", "target")]
        flags = [f"--{prefix}{name}".replace("_", "-") for name in ("data", "source", "target")]
        if (lines[0] is None) != (lines[1] is None):
            raise ConfigError(f"{flags[1]} and {flags[2]}: both or neither: line n of both belong together")
        if files and lines[0] is not None:
            raise ConfigError(f"{flags[0]} and {flags[1]}: give the one or the other")
    if not config.data and config.source is None:
        raise ConfigError("give --data with pairs of texts, or --source and --target with one text a line")
