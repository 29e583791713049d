"""Settings of `shizuku tune`, and what those of the room's other verbs share; nothing here needs torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from shizuku.adapters.config import AdapterConfig
from shizuku.config import VerbConfig, check_threads
from shizuku.errors import ConfigError
from shizuku.training.config import LoopConfig, OptimizerConfig, ScheduleConfig
from shizuku.tuning.rendering import check_learn

ADAPTER_RATE = 5e-4
"""Learning rate that comes with an adapter, whose numbers begin small and are few."""


BaseKind = Literal["float", "packed", "int8", "int4", "codebook4", "codebook3"]
"""How the weights are held that an adapter is trained on."""


def tuning_loop(rate: float = 1e-4) -> LoopConfig:
    """The loop as a trained model wants it: AdamW at a small rate, and a cosine."""
    optimizer = OptimizerConfig(
        kind="adamw", learning_rate=rate, embedding_learning_rate=None, weight_decay=0.0, betas=(0.9, 0.99)
    )
    schedule = ScheduleConfig(kind="cosine", warmup=0.05)
    return LoopConfig(optimizer=optimizer, schedule=schedule, log_every=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneConfig(VerbConfig):
    """Tune a model on conversations: it learns the answers, and where they end."""

    model: tyro.conf.Positional[str]
    """A name, a checkpoint directory, a Hugging Face directory or a .gguf file."""
    data: tuple[Path, ...]
    """Files of conversations: JSON lines, JSON or Parquet, with messages (OpenAI), conversations (ShareGPT)
    or columns such as instruction, input and output (Alpaca).
    """
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Directory of the tuned checkpoint, with report.html."""
    epochs: float = 3.0
    """How many times the examples are gone through; --steps says otherwise."""
    learn: tuple[str, ...] = ("answers",)
    """What is learned: answers, all, or roles (assistant, user, system, tool)."""
    too_long: Literal["drop", "cut"] = "drop"
    """What happens to a conversation longer than a row: left out, or cut at its end."""
    context: Annotated[int | None, tyro.conf.arg(aliases=["-c"])] = None
    """Tokens of a row, which holds several short conversations; none given: the longest conversation, at
    least 256, at most the model's window.
    """
    batch_size: int = 4
    """Rows in a batch; a step takes loop.accumulate batches."""
    validation: float = 0.05
    """Share of the conversations that is held out; 0 for none."""
    validation_data: tuple[Path, ...] = ()
    """Files of conversations to hold out in place of a share of --data."""
    split_seed: int = 0
    """Seed of what is held out."""
    keep: Literal["best", "last"] = "best"
    """Which weights are kept: those with the lowest held-out loss, or those of the last step, as always with
    --loop.ema and --loop.parallel fsdp.
    """
    label_smoothing: float = 0.0
    """Share of each target that is spread evenly over the vocabulary, in training only."""
    neftune_alpha: float = 0.0
    """Size of the noise on embeddings, in training only (NEFTune; 5 is usual, 0 for none)."""
    chat_template: Path | None = None
    """A chat template (Jinja) in place of the model's own, or chatml-tools, which comes with Shizuku; a model
    without one gets ChatML.
    """
    samples: int = 8
    """Held-out prompts that are answered before and after, for the report; 0 for none."""
    sample_tokens: int = 64
    """Tokens of such an answer at most."""
    report: bool = True
    """Write report.html (extra: report)."""
    lora: AdapterConfig = field(default_factory=AdapterConfig)
    """The adapter that is trained in place of the model, if its rank is not 0."""
    base: BaseKind = "float"
    """How the frozen weights are held that an adapter is trained on: float32; packed, as a .gguf file or a
    quantized checkpoint has them; or rounded first to int8, int4, codebook4 or codebook3, and kept in
    OUT/base (QLoRA). Merging is into those weights.
    """
    threads: Annotated[int | None, tyro.conf.arg(aliases=["-t"])] = None
    """Processor threads; none given: all cores."""
    dry_run: bool = False
    """Say what would be done and how long it would take, and stop."""
    loop: LoopConfig = field(default_factory=tuning_loop)
    """When things happen, and what moves the weights."""

    def __post_init__(self) -> None:
        check_threads(self.threads)
        check_learn(self.learn)
        if not self.data:
            raise ConfigError("--data: give at least one file of conversations")
        check_tuning(self)
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"--label-smoothing {self.label_smoothing}: expected 0 <= share < 1")
        if not self.neftune_alpha >= 0:
            raise ConfigError(f"--neftune-alpha {self.neftune_alpha}: expected 0 or more")

    @classmethod
    def brought_along(cls, chosen: Mapping[str, object]) -> Mapping[str, object]:
        """With an adapter the learning rate is another."""
        return {"loop": {"optimizer": {"learning_rate": ADAPTER_RATE}}} if adapted(chosen) else {}


def adapted(chosen: Mapping[str, object]) -> bool:
    """Whether there is an adapter among the chosen settings."""
    lora: Any = chosen.get("lora")
    rank = chosen.get("lora.rank", lora.get("rank", 0) if isinstance(lora, Mapping) else 0)
    return str(rank).isdigit() and int(str(rank)) > 0


def check_tuning(config: Any) -> None:
    """ConfigError for settings that make no sense in any tuning run that has them."""
    if not config.epochs > 0:
        raise ConfigError(f"--epochs: expected more than 0, found {config.epochs}")
    for name, low in (("batch_size", 1), ("split_seed", 0), ("samples", 0), ("sample_tokens", 1)):
        if (given := getattr(config, name, low)) < low:
            raise ConfigError(f"--{name.replace('_', '-')}: expected at least {low}, found {given}")
    if config.context is not None and config.context < 2:
        raise ConfigError(f"--context: expected at least 2, found {config.context}")
    if not 0 <= config.validation <= 0.5:
        raise ConfigError(f"--validation {config.validation}: expected 0 to 0.5 of the data")
