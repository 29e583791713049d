"""Settings of `shizuku reward`; nothing here needs torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from shizuku.adapters.config import AdapterConfig
from shizuku.config import VerbConfig, check_threads
from shizuku.errors import ConfigError
from shizuku.training.config import LoopConfig
from shizuku.tuning.config import adapted, check_tuning, tuning_loop

RATE, ADAPTER_RATE = 2e-5, 3e-4
"""Learning rates of a whole model, and of an adapter with the head."""


def head_loop() -> LoopConfig:
    """The loop as a new head on a trained model wants it."""
    return tuning_loop(RATE)


def adapter_rate(chosen: Mapping[str, object]) -> Mapping[str, object]:
    """What an adapter among the chosen settings brings along: its learning rate."""
    return {"loop": {"optimizer": {"learning_rate": ADAPTER_RATE}}} if adapted(chosen) else {}


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardConfig(VerbConfig):
    """Train a reward model on preference pairs: a number for an answer, higher for the better of two."""

    model: tyro.conf.Positional[str]
    """The model that the head is put on: a name, a checkpoint directory, a Hugging Face directory or a .gguf
    file.
    """
    data: tuple[Path, ...]
    """Files of preference pairs: JSON lines, JSON or Parquet, with chosen and rejected beside a prompt, or as
    whole conversations.
    """
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Directory of the reward model, with report.html."""
    epochs: float = 1.0
    """How many times the pairs are gone through; --steps says otherwise."""
    margins: bool = False
    """Ask for as large a difference as a pair's margin column says, rather than for any (Llama 2)."""
    too_long: Literal["drop", "cut"] = "drop"
    """What happens to a pair with an answer longer than a row: left out, or cut at its end."""
    context: Annotated[int | None, tyro.conf.arg(aliases=["-c"])] = None
    """Tokens of prompt and answer together at most; none given: the longest, at most the model's window."""
    batch_size: int = 8
    """Pairs in a batch; a step takes loop.accumulate batches."""
    validation: float = 0.1
    """Share of the pairs that is held out, told by a digest of the prompt; 0 for none."""
    validation_data: tuple[Path, ...] = ()
    """Files of pairs to hold out in place of a share of --data."""
    split_seed: int = 0
    """Seed of what is held out."""
    keep: Literal["best", "last"] = "best"
    """Which weights are kept: those with the lowest held-out loss, or those of the last step, as always with
    --loop.ema.
    """
    chat_template: Path | None = None
    """A chat template (Jinja) in place of the model's own; a model without one gets ChatML."""
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
        if not self.data:
            raise ConfigError("--data: give at least one file of preference pairs")
        check_tuning(self)

    @classmethod
    def brought_along(cls, chosen: Mapping[str, object]) -> Mapping[str, object]:
        """With an adapter the learning rate is another."""
        return adapter_rate(chosen)
