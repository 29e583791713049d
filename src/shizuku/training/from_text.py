"""From text to a trained model: tokenizer, shards, model and loop put together, for `shizuku train`."""

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from shizuku.checkpoints.memory import available_memory, readable
from shizuku.checkpoints.run_difference import SEEDS
from shizuku.checkpoints.run_record import json_text, run_record
from shizuku.config import from_dict, to_dict
from shizuku.data.shards import ShardSet, write_shards
from shizuku.data.splitting import split_by_source
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.architectures import architecture, architecture_of, build
from shizuku.models.decoder import DecoderConfig, initialise
from shizuku.progress import say, track
from shizuku.text.documents import Document, Problems, find_files, read_documents
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.config import TrainConfig
from shizuku.training.cost import active_parameters, bill, matmul_peak, parameter_total, token_cost
from shizuku.training.distribution import neighbours, place, wait_for_all
from shizuku.training.loop import train
from shizuku.training.memory import check_memory, estimate_memory
from shizuku.training.model_settings import ModelOverrides
from shizuku.training.precision import check_precision
from shizuku.training.presets import PRESETS
from shizuku.training.result import TrainResult
from shizuku.training.resume import check_place
from shizuku.training.seeds import Interval
from shizuku.training.speed import DEFAULT_STEPS, measure_speed
from shizuku.training.tasks import task_of

SHARDS, PREPARED = "shards", "prepared.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Text that is ready for training."""

    tokenizer: Tokenizer
    train: ShardSet
    heldout: ShardSet | None
    note: str
    """How the held-out text was chosen."""

    def record(self) -> dict[str, Any]:
        """What run.json says about the data."""
        sets = {"train": self.train} | ({} if self.heldout is None else {"heldout": self.heldout})
        record: dict[str, Any] = {
            name: {
                "digest": shards.digest,
                "documents": shards.documents,
                "tokens": shards.tokens,
                "text_bytes": shards.text_bytes,
            }
            for name, shards in sets.items()
        }
        return record | {"split": self.note}


def train_on_text(config: TrainConfig) -> TrainResult:
    """Train as the config says; raises what reading, tokenising and `train` raise."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    check_place(config.out, resume=config.loop.resume)
    _check_precision(config)
    check_size(config, vocab_size=1)
    return _train_on(prepare(config), config, config.out)


def train_seeds(
    config: TrainConfig,
    preparing: Callable[[TrainConfig], Any] | None = None,
    training: Callable[[Any, TrainConfig, Path], TrainResult] | None = None,
    checking: Callable[[TrainConfig], None] | None = None,
) -> list[TrainResult]:
    """Train once for each of `config.seeds` seeds, on the same tokens, into `<out>/seed-N/`.

    What is prepared, trained and checked before is text unless other functions are given. With `resume`, runs
    that are finished are taken as they are and the one that was broken off goes on.
    `<out>/seeds.json` is a run record whose metrics are intervals. Raises as `train_on_text`.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    first = config.loop.seed
    runs = {f"seed-{seed}": seed for seed in range(first, first + config.seeds)}
    for name in runs:
        check_place(config.out / name, resume=config.loop.resume)
    (checking or _check_run)(config)
    prepared = (preparing or prepare)(config)
    results: list[TrainResult] = []
    for name, seed in runs.items():
        say(f"seed {seed}: {len(results) + 1} of {config.seeds}, in {config.out / name}")
        one = replace(config, seeds=1, loop=replace(config.loop, seed=seed))
        results.append((training or _train_on)(prepared, one, config.out / name))
    figures = {"loss": Interval.of([result.loss for result in results])}
    heldout = [result.validation_loss for result in results if result.validation_loss is not None]
    if heldout:
        figures["validation_loss"] = Interval.of(heldout)
    metrics = {name: asdict(interval) for name, interval in figures.items()}
    record = run_record(config=to_dict(config), data=prepared.record(), metrics=metrics)
    if place()[0] == 0:
        (config.out / SEEDS).write_text(json_text(record), encoding="utf-8")
    wait_for_all()
    return results


def _check_run(config: TrainConfig) -> None:
    _check_precision(config)
    check_size(config, vocab_size=1)


def _check_precision(config: TrainConfig) -> None:
    # The loop asks too, but only after all text is tokenised.
    if config.loop.check_precision:
        check_precision(config.loop.precision, torch.device("cpu"))


def _rows(config: TrainConfig) -> int:
    """Rows of a batch that each process takes; ConfigError where they can't be shared out."""
    _, world = place()
    if config.batch_size % world:
        raise ConfigError(
            f"--batch-size {config.batch_size}: {world} processes can't share its rows equally; "
            f"give a multiple of {world} (--loop.accumulate makes up for smaller ones)"
        )
    return config.batch_size // world


def _train_on(prepared: Prepared, config: TrainConfig, out: Path) -> TrainResult:
    check_size(config, prepared.tokenizer.vocab_size)
    shape = model_config(config, prepared.tokenizer.vocab_size)
    rank, world = place()
    with nullcontext() if rank == 0 else torch.device("meta"):  # process 0 gives the others theirs
        model = build(shape)
    if rank == 0 and isinstance(shape, DecoderConfig):
        initialise(model, config.loop.seed, zero_outputs=config.zero_outputs)
    elif rank == 0:
        architecture_of(shape).initialise(model, config.loop.seed)
    task = task_of(config, shape, prepared.train, prepared.heldout, prepared.tokenizer, share=(rank, world))
    return train(
        model,
        task.objective,
        task.source,
        config.loop,
        out=out,
        tokenizer=prepared.tokenizer,
        validation=task.validation,
        run=run_record(config=to_dict(config), data=prepared.record()),
    )


def check_size(config: TrainConfig, vocab_size: int) -> None:
    """Refuse shapes that contradict themselves (ConfigError) or would not fit into memory (TrainingError).

    Before the text is read it is asked with a vocabulary of 1: whatever is too large then stays so.
    """
    shape, rows = model_config(config, vocab_size), _rows(config)
    if config.loop.check_memory:
        with torch.device("meta"):
            empty = build(shape)
        shards = place()[1] if config.loop.parallel == "fsdp" else 1
        estimate = estimate_memory(
            empty, config.loop, rows, shape.context, packed=config.boundaries, shards=shards
        )
        check_memory(estimate, neighbours())


def model_config(config: TrainConfig, vocab_size: int) -> Any:
    """The preset with what the config changes in it; ConfigError where that does not fit together."""
    try:
        return _shape(config, vocab_size)
    except ConfigError as error:
        raise ConfigError(_with_flag(str(error), config)) from error


def _with_flag(message: str, config: TrainConfig) -> str:
    """What a model's config says of one of its fields, with the flag in front that sets it."""
    message = message.removeprefix("model.")
    name = message.split(" ")[0].split(":")[0]
    if name in own_settings(config.setting):
        return f"--setting {name}: {message}"
    if name in {each.name for each in fields(ModelOverrides)}:
        return f"--model.{name.replace('_', '-')}: {message}"
    return message


def _shape(config: TrainConfig, vocab_size: int) -> Any:
    given = config.model.given() | own_settings(config.setting)
    if config.architecture != "decoder":
        return _other_config(config, {"vocab_size": vocab_size, **given})
    if config.setting:
        raise ConfigError("--setting: a decoder's settings all have flags of their own: --model.…")
    shape = dict(PRESETS[config.preset])
    if {"width", "heads"} & given.keys():
        shape.pop("head_width", None)
    values: dict[str, Any] = {"vocab_size": vocab_size, **shape, **given}
    return DecoderConfig(**values)


def own_settings(given: Sequence[str]) -> dict[str, Any]:
    """The values of `--setting name=value …`; ConfigError for what is not of this form."""
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ConfigError(f"--setting {text}: expected name=value")
        try:
            values[name.replace("-", "_")] = json.loads(
                value.lower() if value in ("True", "False") else value
            )
        except json.JSONDecodeError:
            values[name.replace("-", "_")] = value
    return values


def _other_config(config: TrainConfig, values: dict[str, Any]) -> Any:
    """Of an architecture that has presets of its own, and perhaps not all of the decoder's settings."""
    found = architecture(config.architecture)
    if config.preset not in found.presets:
        raise ConfigError(
            f"--preset {config.preset}: the presets of --architecture {found.name} are "
            f"{', '.join(found.presets)}"
        )
    known = {each.name for each in fields(found.config)}
    strange = [name for name in values if name not in known]
    if strange:
        flags = {f"model.{each.name}" for each in fields(ModelOverrides)}
        flag = f"model.{strange[0]}" if f"model.{strange[0]}" in flags else f"setting {strange[0]}"
        raise ConfigError(
            f"--{flag.replace('_', '-')}: --architecture {found.name} has no such setting, but "
            f"{', '.join(sorted(known - {'vocab_size'}))}"
        )
    return from_dict(found.config, {**found.presets[config.preset], **values}, where="model")


def prepare(config: TrainConfig) -> Prepared:
    """Read, split and tokenise the text into `<out>/shards/`; a resumed run takes what is there.

    In a job process 0 does it, and the others read what it wrote.
    """
    marker = config.out / SHARDS / PREPARED
    settings = _settings_of_text(config)
    rank, world = place()
    prepared = None
    if rank == 0 and not (config.loop.resume and marker.is_file()):
        prepared = _prepare(config, marker, settings)
    wait_for_all()
    if not marker.is_file():
        raise ConfigError(
            f"--out {config.out}: process {rank} of {world} can't see what process 0 has written there: "
            "give a folder that all machines share"
        )
    return prepared or _prepared_before(config, marker, settings)


def _prepare(config: TrainConfig, marker: Path, settings: dict[str, Any]) -> Prepared:
    directory = marker.parent
    problems = Problems()
    documents = list(
        track(read_documents(config.text, field=config.text_field, problems=problems), "reading text")
    )
    if problems:
        say(problems.report())
    train, heldout, note = _split(config, documents)
    if config.tokenizer is None:
        size = "all characters" if config.vocab_size is None else f"{config.vocab_size:,} tokens"
        say(f"training a tokenizer of {size} (--tokenizer takes one that is there)")
        tokenizer = Tokenizer.train(
            (document.text for document in train), config.vocab_size, kind=config.vocabulary
        )
    else:
        tokenizer = Tokenizer.load(config.tokenizer)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"--out {config.out} cannot be made a folder ({error.strerror}): choose another place"
        ) from error
    marker.unlink(missing_ok=True)
    tokenizer.save(directory)
    train_shards = write_shards(track(train, "tokenising", len(train)), tokenizer, directory / "train")
    heldout_shards = write_shards(heldout, tokenizer, directory / "heldout") if heldout else None
    building = marker.with_suffix(".writing")
    building.write_text(
        json.dumps({"settings": settings, "note": note, "heldout": bool(heldout)}, indent=1), encoding="utf-8"
    )
    building.replace(marker)
    return Prepared(tokenizer, train_shards, heldout_shards, note)


def _settings_of_text(config: TrainConfig) -> dict[str, Any]:
    keys = (
        *("text", "text_field", "tokenizer", "vocabulary", "vocab_size", "validation"),
        *("batch_size", "boundaries", "zero_outputs"),
    )
    return {key: value for key, value in to_dict(config).items() if key in keys} | {"seed": config.split_seed}


def _prepared_before(config: TrainConfig, marker: Path, settings: dict[str, Any]) -> Prepared:
    record = json.loads(marker.read_text(encoding="utf-8"))
    changed = [key for key, value in settings.items() if record["settings"].get(key) != value]
    if changed:
        raise ConfigError(
            f"--resume: this run was begun with other settings of {', '.join(changed)}; "
            "give the same ones, or start a new run with another --out"
        )
    tokenizer = Tokenizer.load(marker.parent)
    heldout = marker.parent / "heldout"
    return Prepared(
        tokenizer,
        ShardSet.open(marker.parent / "train", tokenizer=tokenizer),
        ShardSet.open(heldout, tokenizer=tokenizer) if record.get("heldout", config.validation) else None,
        record["note"],
    )


def _split(config: TrainConfig, documents: list[Document]) -> tuple[list[Document], list[Document], str]:
    wanted = int(config.validation * sum(len(document.text.encode()) for document in documents))
    if not wanted:
        return documents, [], "nothing was held out"
    split = split_by_source(documents, heldout_bytes=wanted, seed=config.split_seed)
    return split.train, split.heldout, split.note


def _planned_vocabulary(config: TrainConfig) -> int:
    if config.tokenizer is not None:
        return Tokenizer.load(config.tokenizer).vocab_size
    if config.vocab_size is not None:
        return config.vocab_size
    documents = read_documents(config.text, field=config.text_field)
    return Tokenizer.train((document.text for document in documents), None, kind=config.vocabulary).vocab_size


def plan(config: TrainConfig) -> dict[str, object]:
    """What the run would be: size, tokens, operations, memory, and time as measured by a few steps."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    files = find_files(config.text)
    shape = model_config(config, _planned_vocabulary(config))
    loop = config.loop
    _check_precision(config)
    world, rows = place()[1], _rows(config)
    speed = measure_speed(
        shape, rows, shape.context,
        optimizer=loop.optimizer, precision=loop.precision, parallel=loop.parallel,
        documents=4 if config.boundaries else 1,
    )  # fmt: skip
    batch_tokens = config.batch_size * shape.context * loop.accumulate
    steps = loop.steps or DEFAULT_STEPS
    if loop.max_seconds is not None:
        steps = max(1, int(loop.max_seconds * speed / batch_tokens))
    tokens = steps * batch_tokens
    with torch.device("meta"):
        empty = build(shape)
    shards = world if loop.parallel == "fsdp" else 1
    memory = estimate_memory(empty, loop, rows, shape.context, packed=config.boundaries, shards=shards)
    flops = float(token_cost(shape, shape.context).training * tokens)
    seconds = tokens / speed
    cost = bill(seconds, flops, watts=loop.watts, price_per_hour=loop.price_per_hour)
    return {
        "files": len(files),
        "processes": world,
        "parameters": parameter_total(shape),
        "parameters_active": active_parameters(shape),
        "parameters_without_embeddings": parameter_total(shape, embeddings=False),
        "model": to_dict(shape),
        "steps": steps,
        "tokens": tokens,
        "tokens_per_step": batch_tokens,
        "tokens_per_second": speed,
        "share_of_peak": flops / seconds / matmul_peak(),
        "memory": memory.explain(),
        "memory_bytes": memory.total,
        "memory_available": readable(available_memory()),
        **cost.to_dict(),
    }
