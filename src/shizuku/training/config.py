"""Settings of the loop, the optimizer and the schedule; nothing here needs torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from shizuku.config import VerbConfig, check_seed, check_threads
from shizuku.config import at_least as _at_least
from shizuku.errors import ConfigError
from shizuku.models.architectures import names
from shizuku.text.vocabulary_training import Kind
from shizuku.training.model_settings import ModelOverrides, NGramSettings, PairSettings
from shizuku.training.presets import ARCHITECTURE_RUNS, RUNS, PresetName

PrecisionName = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """How parameters move: one kind for the matrices of the blocks, AdamW for everything else."""

    kind: Literal["muon", "adamw"] = "muon"
    """What moves the matrices of the blocks; embeddings, norms and biases are always moved by AdamW."""
    learning_rate: float = 0.003
    """Peak learning rate of AdamW, but for embeddings."""
    embedding_learning_rate: float | None = 0.01
    """Peak learning rate of embeddings and the output matrix; none given: learning_rate."""
    muon_learning_rate: float = 0.04
    """Peak learning rate of Muon; an update has a spectral norm near one, times sqrt(rows / columns) if
    tall.
    """
    weight_decay: float = 0.1
    """Decoupled decay of the blocks' matrices, multiplied by their learning rate; norms and biases never
    decay.
    """
    decay_embeddings: bool = False
    """Whether embeddings and the output matrix decay too."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's two averaging factors."""
    eps: float = 1e-8
    """Added to AdamW's denominator."""
    muon_momentum: float = 0.95
    """Muon's (Nesterov) momentum."""
    muon_iterations: int = 5
    """Newton-Schulz iterations that orthogonalise a Muon update."""

    def __post_init__(self) -> None:
        _at_least(self, "loop.optimizer.", learning_rate=0, embedding_learning_rate=0, muon_learning_rate=0)
        _at_least(self, "loop.optimizer.", weight_decay=0, eps=0, muon_momentum=0, muon_iterations=1)
        for beta in (*self.betas, self.muon_momentum):
            if not 0 <= beta < 1:
                raise ConfigError(
                    "--loop.optimizer.betas and --loop.optimizer.muon-momentum: "
                    f"expected 0 <= x < 1, found {beta}"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleConfig:
    """How the learning rates move over a run, as fractions of its steps."""

    kind: Literal["wsd", "cosine", "constant", "inverse-root"] = "wsd"
    """Warm-up, stable, decay; or warm-up and a half cosine; or warm-up and constant; or warm-up and a fall
    with the inverse root of the step.
    """
    warmup: float = 0.02
    """Share of the steps in which the rate rises linearly from nothing."""
    decay: float = 0.5
    """Share of the steps, at the end, in which wsd falls linearly."""
    final: float = 0.0
    """What is left of the peak rate after the last step (wsd and cosine)."""

    def __post_init__(self) -> None:
        for name in ("warmup", "decay", "final"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"--loop.schedule.{name}: expected 0 to 1, found {getattr(self, name)}")
        if self.kind == "wsd" and self.warmup + self.decay > 1:
            raise ConfigError(
                f"--loop.schedule.warmup {self.warmup} and --loop.schedule.decay {self.decay} pass 1: "
                "lower one"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopConfig:
    """When things happen in a training run."""

    steps: Annotated[int | None, tyro.conf.arg(aliases=["--steps"])] = None
    """Optimizer steps of the whole run (500 where neither steps nor max_seconds is given)."""
    max_seconds: float | None = None
    """In place of steps: as many as this time is enough for, measured before the first and, by the run's own
    pace, until the learning rate begins to fall.
    """
    accumulate: int = 1
    """Batches from the source whose gradients make one step."""
    parallel: Literal["data", "fsdp", "experts"] = "data"
    """What the processes of a torchrun job share: the rows of a batch (data), or also the weights, gradients
    and optimizer state, of which each then holds its part (fsdp), or only those of the experts (experts).
    """
    clip: float | None = 1.0
    """Largest norm of the whole gradient; a longer one is shortened to it."""
    dropout: float = 0.0
    """Share of the embeddings, and of what every attention and feed-forward layer adds, that a training step
    leaves out: for a text that is gone through many times.
    """
    ema: float | None = None
    """Decay of a running average of the weights, such as 0.99 for hundreds of steps: the average is what is
    evaluated and saved as the model; the optimizer's own weights stay in state/.
    """
    seed: Annotated[int, tyro.conf.arg(aliases=["--seed"])] = 0
    """Seed of the weights, the data order and all else that is random."""
    resume: Annotated[bool, tyro.conf.arg(aliases=["--resume"])] = False
    """Go on with the run in --out; start one where there is none."""
    log_every: int = 10
    """Steps between lines of metrics.jsonl."""
    evaluate_every: int | None = None
    """Steps between evaluations on the validation text; it is always evaluated after the last step."""
    keep_best: bool = False
    """Leave the checkpoint with the lowest validation loss, in place of the last step's."""
    patience: int | None = None
    """Stop after so many evaluations without a lower validation loss; keep_best comes with it."""
    save_every: int | None = None
    """Steps between checkpoints; one is always written at the end and on Ctrl-C."""
    save_minutes: float | None = 5.0
    """Minutes between checkpoints."""
    keep_log_spaced: bool = False
    """Keep the checkpoints of steps 1, 2, 4, 8, … and the last in steps/."""
    tensorboard: bool = False
    """Write TensorBoard events beside metrics.jsonl (extra: tensorboard)."""
    precision: PrecisionName = "float32"
    """What matrix products are computed in; weights, optimizer, softmax and evaluation stay float32. float16
    scales its loss, and leaves out steps whose gradient overflows. Refused where it would be slow.
    """
    save_dtype: PrecisionName = "float32"
    """What the saved model's numbers are: 16 bits are two bytes a parameter. state/ keeps the float32
    weights that the run goes on from.
    """
    compile: bool = False
    """Run the blocks through torch.compile: a minute or so of warm-up, worth it for hours of training."""
    check_memory: bool = True
    """Estimate the memory before the first step and refuse a run that won't fit."""
    check_precision: bool = True
    """Time a product before the first step, and refuse a precision that is slow on this device."""
    watts: float | None = None
    """Power that the machine draws under load, for the energy in run.json."""
    price_per_hour: float | None = None
    """What the machine costs an hour, in any currency, for the price in run.json."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """What moves the parameters."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """How the learning rates move."""

    def __post_init__(self) -> None:
        _at_least(self, "loop.", steps=1, accumulate=1, log_every=1, evaluate_every=1, save_every=1)
        _at_least(self, "loop.", patience=1)
        check_seed(self.seed)
        _at_least(self, "loop.", watts=0, price_per_hour=0, save_minutes=0)
        if self.clip is not None and not self.clip > 0:
            raise ConfigError(f"--loop.clip: expected a norm above 0, found {self.clip}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"--loop.dropout: expected 0 <= share < 1, found {self.dropout}")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise ConfigError(f"--loop.ema: expected 0 <= decay < 1, found {self.ema}")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise ConfigError(f"--loop.max-seconds: expected more than 0, found {self.max_seconds}")
        if self.steps is not None and self.max_seconds is not None:
            raise ConfigError("--steps and --loop.max-seconds both say how long to train: give one")
        if self.keeps_best and (self.ema is not None or self.parallel != "data"):
            raise ConfigError(
                "--loop.keep-best and --loop.patience: not with --loop.ema (an average needs no choice "
                "among its steps) nor with --loop.parallel fsdp or experts"
            )

    @property
    def keeps_best(self) -> bool:
        """Whether the run leaves its best checkpoint rather than its last."""
        return self.keep_best or self.patience is not None


MAY_CHANGE = frozenset(
    {
        "max_seconds", "parallel", "resume", "log_every", "evaluate_every", "save_every", "save_minutes",
        "keep_log_spaced", "tensorboard", "check_memory", "check_precision", "watts", "price_per_hour",
        "save_dtype",
    }
)  # fmt: skip
"""Fields of LoopConfig that a resumed run may set differently; the others decide what is learned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig(VerbConfig):
    """Train a model on text, or a translation model on pairs of sentences."""

    out: Path
    """Directory of the checkpoint, with state/, metrics.jsonl and the tokenised text in shards/."""
    text: tuple[Path, ...] = ()
    """Files and folders of text: txt, md, JSON lines (plain, .gz, .zst), Parquet."""
    text_field: Annotated[str, tyro.conf.arg(aliases=["--field"])] = "text"
    """Name of the text field in JSON lines and Parquet."""
    source: Path | None = None
    """Of a translation model: the sentences to translate, one a line (.gz too)."""
    target: Path | None = None
    """The same sentences in the other language, line by line."""
    validation_source: Path | None = None
    """Sentences to validate on; none given: a share of the others is held out."""
    validation_target: Path | None = None
    """Their translations."""
    tokenizer: Path | None = None
    """A tokenizer to use (directory, tokenizer.json, GGUF); none given: one is trained on the text."""
    vocabulary: Kind = "byte-bpe"
    """Kind of vocabulary where a tokenizer is trained; `shizuku tokenizer train --help` says what each is."""
    vocab_size: int | None = 4096
    """Tokens in the vocabulary where a tokenizer is trained; None: all characters, for that kind only."""
    architecture: str = "decoder"
    """Kind of model: decoder, encoder, encoder-decoder, lstm, lstm-seq2seq, mamba, moe, recurrent or
    ngram.
    """
    preset: PresetName = "tiny"
    """Shape of the model; gpt2-small, smollm2-135m and characters are decoders, and other architectures have
    some of the rest, which a wrong one is answered with. `characters` brings settings of the run along:
    characters as vocabulary, and a few hundred steps that suit one small text; other flags go before them.
    """
    model: ModelOverrides = field(default_factory=ModelOverrides)
    """What to change in the preset."""
    setting: tuple[str, ...] = ()
    """Settings of the architecture's own that no other flag names, as name=value: state_width=32."""
    ngram: NGramSettings = field(default_factory=NGramSettings)
    """Of --architecture ngram, which is counted and has no preset."""
    pairs: PairSettings = field(default_factory=PairSettings)
    """Of a translation model."""
    batch_size: int = 16
    """Rows of `model.context` tokens in a batch; a step takes loop.accumulate batches."""
    boundaries: bool = True
    """Whether attention stops at the start of a document where documents share a row."""
    validation: float = 0.02
    """Share of the text's bytes that is held out, by source; 0 for none."""
    split_seed: int = 0
    """Seed of what is held out: the same for all runs that are to be compared, whatever their --seed."""
    validation_tokens: int = 100_000
    """At most this many held-out tokens are looked at in one evaluation, taken from all over."""
    z_loss: float = 0.0
    """Coefficient of the mean squared log of the softmax's normaliser, in training only."""
    zero_outputs: bool = True
    """Whether the matrices that write into the residual stream start at zero."""
    threads: Annotated[int | None, tyro.conf.arg(aliases=["-t"])] = None
    """Processor threads; none given: all cores."""
    seeds: int = 1
    """Runs with this seed and the ones after it, on the same text and split, into seed-N/ below --out; the
    result is then a mean with its 95 % interval, also in seeds.json.
    """
    dry_run: bool = False
    """Say what would be done and what it would cost, and stop."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """When things happen, and what moves the weights."""

    def __post_init__(self) -> None:
        _at_least(self, "", batch_size=1, validation=0, validation_tokens=1, z_loss=0)
        _at_least(self, "", seeds=1, split_seed=0)
        check_threads(self.threads)
        known = (*names(), "ngram")
        if self.architecture not in known:
            raise ConfigError(f"--architecture {self.architecture}: expected one of {', '.join(known)}")
        check_what_is_read(self)
        if self.vocab_size is None and self.vocabulary != "characters":
            raise ConfigError(f"--vocabulary {self.vocabulary} needs a size: give --vocab-size")
        if self.validation > 0.5:
            raise ConfigError(f"--validation {self.validation}: expected at most 0.5 of the text")

    @classmethod
    def brought_along(cls, chosen: Mapping[str, object]) -> Mapping[str, object]:
        """The settings that the `chosen` ones, as a file or flags have them, bring along: the preset's, of
        the architecture where it has such.
        """
        table = next((table for name, table in RUNS.items() if name == chosen.get("preset")), {})
        table = {**table, **ARCHITECTURE_RUNS.get(str(chosen.get("architecture")), {})}
        loop = chosen.get("loop")
        timed = "loop.max_seconds" in chosen or (isinstance(loop, Mapping) and "max_seconds" in loop)
        if timed and "loop" in table:  # a time says how long, in place of the preset's steps
            table = {**table, "loop": {key: v for key, v in table["loop"].items() if key != "steps"}}
        return table


def check_what_is_read(config: TrainConfig) -> None:
    """ConfigError unless there is either text or a whole pair of files."""
    if config.source is None and config.target is None:
        if not config.text:
            raise ConfigError("--text: give at least one file or folder (or --source and --target)")
        if config.validation_source is not None or config.validation_target is not None:
            raise ConfigError("--validation-source, --validation-target: they go with --source and --target")
        return
    if config.text:
        raise ConfigError("--text and --source, --target: give the one or the other")
    for one, other in (("source", "target"), ("validation_source", "validation_target")):
        if (getattr(config, one) is None) != (getattr(config, other) is None):
            flags = f"--{one} and --{other}".replace("_", "-")
            raise ConfigError(
                f"{flags}: both or neither: line n of the one says what line n of the other says"
            )
