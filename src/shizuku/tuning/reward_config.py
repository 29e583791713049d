"""Settings of `shizuku reward`; nothing here needs torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from shizuku.adapters.config import AdapterConfig
from shizuku.config import VerbConfig, check_threads
from shizuku.errors import ConfigError
from shizuku.training.config import LoopConfig, OptimizerConfig, ScheduleConfig

RATE, ADAPTER_RATE = 2e-5, 3e-4
"""Learning rates of a whole model, and of an adapter with the head."""


def head_loop() -> LoopConfig:
    """The loop as a new head on a trained model wants it: AdamW at a small rate, and a cosine."""
    optimizer = OptimizerConfig(
        kind="adamw", learning_rate=RATE, embedding_learning_rate=None, weight_decay=0.0, betas=(0.9, 0.99)
    )
    return LoopConfig(optimizer=optimizer, schedule=ScheduleConfig(kind="cosine", warmup=0.05), log_every=1)


def adapter_rate(chosen: Mapping[str, object]) -> Mapping[str, object]:
    """What an adapter among the chosen settings brings along: its learning rate."""
    lora: Any = chosen.get("lora")
    rank = chosen.get("lora.rank", lora.get("rank", 0) if isinstance(lora, Mapping) else 0)
    if str(rank).isdigit() and int(str(rank)) > 0:
        return {"loop": {"optimizer": {"learning_rate": ADAPTER_RATE}}}
    return {}


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


def check_tuning(config: Any) -> None:
    """ConfigError for settings of a run with a head that make no sense."""
    if not config.epochs > 0:
        raise ConfigError(f"--epochs: expected more than 0, found {config.epochs}")
    for name, low in (("batch_size", 1), ("split_seed", 0)):
        if getattr(config, name) < low:
            flag = name.replace("_", "-")
            raise ConfigError(f"--{flag}: expected at least {low}, found {getattr(config, name)}")
    if config.context is not None and config.context < 2:
        raise ConfigError(f"--context: expected at least 2, found {config.context}")
    if not 0 <= config.validation <= 0.5:
        raise ConfigError(f"--validation {config.validation}: expected 0 to 0.5 of the data")
