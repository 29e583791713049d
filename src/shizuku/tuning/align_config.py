"""Settings of `shizuku align`; nothing here needs torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from shizuku.adapters.config import AdapterConfig
from shizuku.config import VerbConfig, check_threads
from shizuku.errors import ConfigError
from shizuku.training.config import LoopConfig
from shizuku.tuning.config import BaseKind, adapted, check_tuning, tuning_loop
from shizuku.tuning.dpo.config import DpoConfig
from shizuku.tuning.policy.config import GRPOConfig, PPOConfig

Method = Literal["ppo", "dpo", "grpo"]
RATES: dict[tuple[str, bool], float] = {
    ("dpo", False): 5e-6, ("dpo", True): 1e-4,
    ("ppo", False): 3e-6, ("ppo", True): 1e-4,
    ("grpo", False): 3e-6, ("grpo", True): 1e-4,
}  # fmt: skip
"""Learning rates that come with a method, for a whole model and for an adapter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignConfig(VerbConfig):
    """Align a model with preferences (dpo), or with a reward for its own answers (ppo, grpo)."""

    model: tyro.conf.Positional[str]
    """A name, a checkpoint directory, a Hugging Face directory or a .gguf file."""
    method: Method
    """dpo learns from pairs of answers; ppo and grpo answer prompts and learn from a reward."""
    data: tuple[Path, ...]
    """Files of preference pairs (dpo) or of prompts (ppo, grpo): JSON lines, JSON or Parquet."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Directory of the aligned checkpoint, with report.html."""
    reward: str | None = None
    """What judges answers: MODULE:FUNCTION (prompts and completions to numbers), or a reward model. With dpo
    it only measures, before and after.
    """
    gold: str | None = None
    """With ppo and grpo: a second reward, given like --reward, that is recorded and not learned from."""
    reference: str | None = None
    """The model that is not to be left far behind, if it is not the one that training begins with."""
    epochs: float = 1.0
    """How many times the data are gone through; --steps says otherwise."""
    too_long: Literal["drop", "cut"] = "drop"
    """What happens to an answer longer than a row: its pair is left out, or it is cut at its end (dpo)."""
    context: Annotated[int | None, tyro.conf.arg(aliases=["-c"])] = None
    """Tokens of prompt and answer together at most; none given: the longest, at most the model's window."""
    batch_size: int = 8
    """Pairs (dpo) or prompts (ppo, grpo) in a batch; a step takes loop.accumulate batches."""
    validation: float = 0.1
    """Share of the data that is held out, told by a digest of the prompt; 0 for none."""
    validation_data: tuple[Path, ...] = ()
    """Files to hold out in place of a share of --data."""
    split_seed: int = 0
    """Seed of what is held out."""
    keep: Literal["best", "last"] = "last"
    """Which weights are kept: those of the last step, or those with the lowest held-out loss (dpo)."""
    chat_template: Path | None = None
    """A chat template (Jinja) in place of the model's own; a model without one gets ChatML."""
    samples: int = 16
    """Held-out prompts that are answered before and after, for the report, the reward and the distance to
    the reference; 0 for none.
    """
    sample_tokens: int = 64
    """Tokens of such an answer at most (dpo)."""
    report: bool = True
    """Write report.html (extra: report)."""
    dpo: DpoConfig = field(default_factory=DpoConfig)
    """The loss of a pair, with --method dpo."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """Rounds and loss, with --method ppo."""
    grpo: GRPOConfig = field(default_factory=GRPOConfig)
    """Rounds and loss, with --method grpo."""
    lora: AdapterConfig = field(default_factory=AdapterConfig)
    """The adapter that is trained in place of the model, if its rank is not 0."""
    base: BaseKind = "float"
    """How the frozen weights are held that an adapter is trained on: float32; packed, as a .gguf file or a
    quantized checkpoint has them; or rounded first, and kept in OUT/base.
    """
    threads: Annotated[int | None, tyro.conf.arg(aliases=["-t"])] = None
    """Processor threads; none given: all cores."""
    dry_run: bool = False
    """Say what would be done and how long it would take, and stop."""
    loop: LoopConfig = field(default_factory=tuning_loop)
    """When things happen, and what moves the weights."""

    def __post_init__(self) -> None:
        check_threads(self.threads)
        if not self.data:
            raise ConfigError("--data: give at least one file")
        check_tuning(self)

    @classmethod
    def brought_along(cls, chosen: Mapping[str, object]) -> Mapping[str, object]:
        """Method and adapter bring a learning rate along."""
        rate = RATES.get((str(chosen.get("method")), adapted(chosen)))
        if rate is None:
            return {}
        # A round's gradients are small and noisy: Adam's usual eps would make large steps of them.
        eps = {} if chosen.get("method") == "dpo" else {"eps": 1e-5}
        return {"loop": {"optimizer": {"learning_rate": rate, **eps}}}


def check_method(config: AlignConfig, *, rewarded: bool = False) -> None:
    """ConfigError for settings that the method has no use for, or lacks; `rewarded`: a reward is given beside
    them.
    """
    method = config.method
    if method == "dpo" and rewarded:
        raise ConfigError("dpo learns from pairs: a function as reward is for ppo and grpo")
    if method != "dpo" and config.reward is None and not rewarded:
        raise ConfigError(
            f"--method {method} needs a --reward: MODULE:FUNCTION, or a reward model of `shizuku reward`; "
            "to learn from the pairs themselves: --method dpo"
        )
    if method != "dpo" and config.dpo != DpoConfig():
        raise ConfigError(f"--dpo.* are settings of --method dpo, not of {method}: leave them out")
    for other, own, plain in (("ppo", config.ppo, PPOConfig()), ("grpo", config.grpo, GRPOConfig())):
        if method != other and own != plain:
            raise ConfigError(
                f"--{other}.* are settings of --method {other}, not of {method}: leave them out"
            )
    if method == "dpo" and config.gold is not None:
        raise ConfigError("--gold: dpo learns from pairs and records no second reward: leave it out")
    if method == "dpo":
        _check_dpo(config)
    if config.base != "float" and not config.lora.rank:
        raise ConfigError(
            f"--base {config.base}: packed weights can't be trained, only an adapter on them: give "
            "--lora.rank"
        )
    if config.keep == "best" and not (config.validation or config.validation_data):
        raise ConfigError("--keep best needs held-out data: raise --validation")


def _check_dpo(config: AlignConfig) -> None:
    if config.dpo.reference == "each" and not config.lora.rank:
        raise ConfigError(
            "--dpo.reference each works the reference out with the adapter switched off: give --lora.rank, "
            "or leave it at once"
        )
    if config.dpo.reference == "each" and config.reference is not None:
        raise ConfigError(
            "--dpo.reference each takes the model without its adapter as reference: leave out --reference, "
            "or --dpo.reference"
        )
    if config.loop.ema is not None and config.keep == "best":
        raise ConfigError("--keep best: not with --loop.ema, an average needs no choice among its steps")
