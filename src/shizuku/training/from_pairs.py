"""From pairs of sentences to a trained translation model, for `shizuku train --source … --target …`."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from shizuku.checkpoints.memory import available_memory, readable
from shizuku.checkpoints.run_record import run_record
from shizuku.config import to_dict
from shizuku.data.pair_tokens import PairTokens, held_out, tokenised
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.architectures import architecture_of, build
from shizuku.progress import say
from shizuku.text.bitext import read_pairs
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.config import TrainConfig
from shizuku.training.cost import bill, matmul_peak, parameter_total, token_cost
from shizuku.training.distribution import place, wait_for_all
from shizuku.training.from_text import model_config
from shizuku.training.loop import train
from shizuku.training.memory import check_memory, estimate_memory
from shizuku.training.objectives import TargetToken
from shizuku.training.pair_batches import Ends, PairBatches, ValidationPairs, pair_batch
from shizuku.training.precision import check_precision
from shizuku.training.result import TrainResult
from shizuku.training.resume import check_place
from shizuku.training.speed import DEFAULT_STEPS, seconds_per_step

PAIRS, PREPARED = "pairs", "prepared.json"
VALIDATION_FLAGS = ("--validation-source", "--validation-target")
BYTES_OF_TOKEN = 3.5
"""About how many bytes a token writes, where no tokenizer is there yet."""


@dataclass(frozen=True, slots=True)
class PreparedPairs:
    """Pairs that are ready for training."""

    tokenizer: Tokenizer
    train: PairTokens
    heldout: PairTokens | None
    note: str
    """How the held-out pairs were chosen, and what was left out."""

    def record(self) -> dict[str, Any]:
        """What run.json says about the data."""
        sets = {"train": self.train} | ({} if self.heldout is None else {"heldout": self.heldout})
        return {name: pairs.record() for name, pairs in sets.items()} | {"split": self.note}


def ends_of(tokenizer: Tokenizer, shape: Any) -> Ends:
    """What stands around sentences; ConfigError if the tokenizer has nothing that ends one."""
    start, end = tokenizer.document_start_id, tokenizer.eos_id
    start = start if shape.start_id is None else shape.start_id
    if start is None or end is None:
        raise ConfigError(
            "--tokenizer: it has no token that ends a sentence (eos), without which no translation ends; "
            "leave it out to have one trained"
        )
    return Ends(start, end)


def check_run(config: TrainConfig) -> None:
    """Refuse what can't be trained before anything is read; raises as `train`."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    if config.batch_size != TrainConfig.__dataclass_fields__["batch_size"].default:
        raise ConfigError(
            f"--batch-size {config.batch_size}: batches of pairs are as large as --pairs.batch-tokens says"
        )
    if config.loop.parallel == "fsdp":
        raise ConfigError(
            "--loop.parallel fsdp: the weights of translation models are not spread; use --loop.parallel data"
        )
    if config.loop.check_precision:
        check_precision(config.loop.precision, torch.device("cpu"))
    shape = model_config(config, vocab_size=1)
    if config.loop.check_memory:
        with torch.device("meta"):
            empty = build(shape)
        check_memory(estimate_memory(empty, config.loop, *_typical(config, shape.context)))


def train_on_pairs(config: TrainConfig) -> TrainResult:
    """Train as the config says; raises what reading, tokenising and `train` raise."""
    check_place(config.out, resume=config.loop.resume)
    check_run(config)
    return train_on(prepare_pairs(config), config, config.out)


def train_on(prepared: PreparedPairs, config: TrainConfig, out: Path) -> TrainResult:
    """Train on pairs that are ready, into `out`."""
    shape = model_config(config, prepared.tokenizer.vocab_size)
    rank, world = place()
    with nullcontext() if rank == 0 else torch.device("meta"):  # process 0 gives the others theirs
        model = build(shape)
    if rank == 0:
        architecture_of(shape).initialise(model, config.loop.seed)
    budget, ends = config.pairs.batch_tokens, ends_of(prepared.tokenizer, shape)
    source = PairBatches(
        prepared.train, ends, batch_tokens=budget, seed=config.loop.seed, rank=rank, world=world
    )
    validation = None
    if prepared.heldout is not None:
        validation = ValidationPairs(prepared.heldout, ends, batch_tokens=budget)
    return train(
        model,
        TargetToken(config.z_loss, label_smoothing=config.pairs.label_smoothing),
        source,
        config.loop,
        out=out,
        tokenizer=prepared.tokenizer,
        validation=validation,
        run=run_record(config=to_dict(config), data=prepared.record()),
    )


def prepare_pairs(config: TrainConfig) -> PreparedPairs:
    """Read, split and tokenise the pairs into `<out>/pairs/`; a resumed run takes what is there.

    In a job process 0 does it, and the others read what it wrote.
    """
    marker = config.out / PAIRS / PREPARED
    settings = _settings(config)
    rank, world = place()
    if rank == 0 and not (config.loop.resume and marker.is_file()):
        _prepare(config, marker, settings)
    wait_for_all()
    if not marker.is_file():
        raise ConfigError(
            f"--out {config.out}: process {rank} of {world} can't see what process 0 has written there: "
            "give a folder that all machines share"
        )
    return _prepared(marker, settings)


def _prepare(config: TrainConfig, marker: Path, settings: dict[str, Any]) -> None:
    problems = Problems()
    assert config.source is not None and config.target is not None, "the config was checked"
    pairs = read_pairs(config.source, config.target, problems=problems)
    apart: list[tuple[str, str]] = []
    note = "nothing was held out"
    if config.validation_source is not None and config.validation_target is not None:
        held = config.validation_source, config.validation_target
        apart = read_pairs(*held, flags=VALIDATION_FLAGS, problems=problems)
        note = f"held out: {config.validation_source}"
    elif config.validation:
        pairs, apart = held_out(pairs, config.validation, config.split_seed)
        note = f"held out: about {config.validation:.0%} of the source sentences" if apart else note
    tokenizer = _tokenizer(config, pairs)
    longest = model_config(config, tokenizer.vocab_size).context - 1
    kept = tokenised(pairs, tokenizer, longest=longest, problems=problems)
    heldout = tokenised(apart, tokenizer, longest=longest, problems=problems)
    if not len(heldout):
        say("nothing is held out, so nothing says how good the model is (--validation)")
    if problems:
        say(problems.report())
        note += f"; left out: {dict(problems.counts)}"
    if not len(kept):
        raise ConfigError(
            f"no pair is left of {config.source} and {config.target}: raise --model.context above "
            f"{longest + 1} or lower --validation"
        )
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"--out {config.out} cannot be made a folder ({error.strerror}): choose another place"
        ) from error
    marker.unlink(missing_ok=True)
    tokenizer.save(marker.parent)
    kept.save(marker.parent / "train.npz")
    heldout.save(marker.parent / "heldout.npz")
    building = marker.with_suffix(".writing")
    building.write_text(json.dumps({"settings": settings, "note": note}, indent=1), encoding="utf-8")
    building.replace(marker)


def _tokenizer(config: TrainConfig, pairs: Sequence[tuple[str, str]]) -> Tokenizer:
    if config.tokenizer is not None:
        tokenizer = Tokenizer.load(config.tokenizer)
        ends_of(tokenizer, model_config(config, tokenizer.vocab_size))
        lost = tokenizer.unknown_characters(text for pair in pairs for text in pair)
        if lost:
            say(f"--tokenizer {config.tokenizer}: it cannot write {lost:,} characters of the pairs")
        return tokenizer
    size = "all characters" if config.vocab_size is None else f"{config.vocab_size:,} tokens"
    say(f"training a tokenizer of {size} for both languages (--tokenizer takes one that is there)")
    texts = (text for pair in pairs for text in pair)
    return Tokenizer.train(texts, config.vocab_size, kind=config.vocabulary)


def _settings(config: TrainConfig) -> dict[str, Any]:
    names = {
        *("source", "target", "validation_source", "validation_target", "tokenizer", "vocabulary"),
        *("vocab_size", "validation", "pairs", "split_seed"),
    }
    found = {key: value for key, value in to_dict(config).items() if key in names}
    return found | {"context": model_config(config, vocab_size=1).context}


def _prepared(marker: Path, settings: dict[str, Any]) -> PreparedPairs:
    record = json.loads(marker.read_text(encoding="utf-8"))
    changed = [key for key, value in settings.items() if record["settings"].get(key) != value]
    if changed:
        raise ConfigError(
            f"--resume: this run was begun with other settings of {', '.join(changed)}; "
            "give the same ones, or start a new run with another --out"
        )
    heldout = PairTokens.load(marker.parent / "heldout.npz")
    return PreparedPairs(
        Tokenizer.load(marker.parent),
        PairTokens.load(marker.parent / "train.npz"),
        heldout if len(heldout) else None,
        record["note"],
    )


def _typical(config: TrainConfig, context: int, length: float = 32.0) -> tuple[int, int]:
    """Rows and tokens of a batch of sentences of about so many tokens."""
    each = max(2, min(round(length), context))
    return max(1, config.pairs.batch_tokens // (2 * each)), 2 * each


def plan_pairs(config: TrainConfig) -> dict[str, object]:
    """What the run would be: size, tokens, operations, memory, and time as measured by a few steps."""
    check_run(config)
    assert config.source is not None and config.target is not None, "the config was checked"
    pairs = read_pairs(config.source, config.target)
    if config.validation_source is not None and config.validation_target is not None:
        read_pairs(config.validation_source, config.validation_target, flags=VALIDATION_FLAGS)
    written = sum(len(text.encode()) for pair in pairs for text in pair)
    size = config.vocab_size
    if config.tokenizer is not None:
        size = Tokenizer.load(config.tokenizer).vocab_size
    elif size is None:
        size = _tokenizer(config, pairs).vocab_size
    shape, loop = model_config(config, size), config.loop
    rows, tokens = _typical(config, shape.context, written / (2 * len(pairs)) / BYTES_OF_TOKEN)
    model = build(shape)
    architecture_of(shape).initialise(model, 0)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(size, (2, rows, tokens // 2 - 1), generator=generator).numpy()
    batch = pair_batch(list(drawn[0]), list(drawn[1]), Ends(0, 0))
    objective = TargetToken(config.z_loss, label_smoothing=config.pairs.label_smoothing)
    each = seconds_per_step(
        model, objective, [batch], loop.optimizer, loop.parallel, precision=loop.precision
    )
    steps = loop.steps or DEFAULT_STEPS
    if loop.max_seconds is not None:
        steps = max(1, int(loop.max_seconds / (each * loop.accumulate)))
    made = steps * loop.accumulate * rows * tokens
    flops = float(token_cost(shape, tokens).training * made)
    seconds = steps * loop.accumulate * each
    memory = estimate_memory(model, loop, rows, tokens)
    cost = bill(seconds, flops, watts=loop.watts, price_per_hour=loop.price_per_hour)
    return {
        "pairs": len(pairs),
        "processes": place()[1],
        "parameters": parameter_total(shape),
        "parameters_without_embeddings": parameter_total(shape, embeddings=False),
        "model": to_dict(shape),
        "steps": steps,
        "tokens": made,
        "tokens_per_step": loop.accumulate * rows * tokens,
        "epochs": made * BYTES_OF_TOKEN / written,
        "tokens_per_second": made / seconds,
        "share_of_peak": flops / seconds / matmul_peak(),
        "memory": memory.explain(),
        "memory_bytes": memory.total,
        "memory_available": readable(available_memory()),
        **cost.to_dict(),
    }
