"""What one may set of a life."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from shizuku.adapters.config import AdapterConfig
from shizuku.config import VerbConfig, check_seed, check_threads
from shizuku.errors import ConfigError

ADAPTER_RANK = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class LifeConfig(VerbConfig):
    """The whole life of a small model: text, tokens, training, measures, samples, a report."""

    text: tuple[str, ...] = ("town",)
    """`town` (a simulated town, in English and Japanese), `python` (the prose of this Python installation),
    or files and folders of your own (txt, md, JSONL, Parquet)."""
    pretrained: Annotated[str | None, tyro.conf.arg(aliases=["--from"])] = None
    """A pretrained model (a name or a directory) to begin with: an adapter on it learns the text, and
    held-out documents are scored before and after."""
    field: str = "text"
    """Field that holds the text in JSONL and Parquet."""
    minutes: float = 5.0
    """Minutes from start to report; the model's size and its tokens are chosen to fit."""
    out: Path = Path("life")
    """Folder to write: the checkpoint, report.html, and the stages' files."""
    seed: int = 0
    """Seed of the town, the split, the weights, the order of the text and the samples."""
    vocab_size: int = 4096
    """Tokens in the vocabulary; lowered, and said so, where the text is too short for it."""
    lora: AdapterConfig = dataclasses.field(default_factory=lambda: AdapterConfig(rank=ADAPTER_RANK))
    """The adapter of --from."""
    context: Annotated[int, tyro.conf.arg(aliases=["-c"])] = 256
    """Tokens in the model's window."""
    heldout_megabytes: float = 1.0
    """Text kept away from training (MB), at most a tenth of it; the town decides its own."""
    threads: Annotated[int | None, tyro.conf.arg(aliases=["-t"])] = None
    """Processor threads (default: all cores)."""
    watts: float | None = None
    """Power draw in watts, to state the energy."""
    price_per_hour: float | None = None
    """Price of an hour of this machine, to state the cost."""
    resume: bool = False
    """Go on with the life that is in --out, if there is one."""
    dry_run: bool = False
    """Say what would be read and how the time would be shared out, and stop."""

    def __post_init__(self) -> None:
        if not 0.2 <= self.minutes <= 10_000:
            raise ConfigError(f"--minutes {self.minutes}: expected 0.2 to 10000")
        if not self.text:
            raise ConfigError("--text: give `town`, `python`, or at least one path")
        special = {"town", "python"} & set(self.text)
        if special and len(self.text) > 1:
            raise ConfigError(
                f"--text {' '.join(self.text)}: {special.pop()} stands alone, without paths beside it"
            )
        if self.vocab_size < 300:
            raise ConfigError(
                f"--vocab-size {self.vocab_size}: expected at least 300 (256 bytes and the control tokens)"
            )
        if self.context < 16:
            raise ConfigError(f"--context {self.context}: expected at least 16")
        if self.heldout_megabytes <= 0:
            raise ConfigError(f"--heldout-megabytes {self.heldout_megabytes}: expected a positive number")
        if self.pretrained is not None and not self.lora.rank:
            raise ConfigError("--lora.rank 0: --from trains an adapter, so give it a rank")
        check_threads(self.threads)
        check_seed(self.seed)
        for name in ("watts", "price_per_hour"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"--{name.replace('_', '-')} {value}: expected a number >= 0")
