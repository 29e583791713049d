"""A classifier put together: labelled texts, head, objective and the one loop, for `shizuku classify`."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from shizuku.checkpoints.digests import file_digest
from shizuku.checkpoints.directory import load_checkpoint, run_record
from shizuku.checkpoints.names import resolve
from shizuku.config import to_dict
from shizuku.errors import CheckpointError, ConfigError, DocumentError, MissingExtraError
from shizuku.evaluation.classification import ClassJudgement, judge_labels
from shizuku.models.heads import HeadedDecoder
from shizuku.progress import say
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.batches import TensorBatch, on_device, peek
from shizuku.training.loop import train
from shizuku.training.objectives import Term
from shizuku.training.result import TrainResult
from shizuku.training.resume import check_place
from shizuku.training.speed import seconds_per_step
from shizuku.tuning.classification.classifier import Classifier, text_ids
from shizuku.tuning.classification.config import ClassifyConfig
from shizuku.tuning.classification.labelled import (
    Labelled,
    LabelledTexts,
    read_labelled,
    split_labelled,
)
from shizuku.tuning.dataset import LEAST_CONTEXT
from shizuku.tuning.examples import Example
from shizuku.tuning.head_rows import outputs_at_ends, read_at_end
from shizuku.tuning.reward import headed_loop
from shizuku.tuning.reward_pairs import put_adapter
from shizuku.tuning.rows import ExampleRows, HeldoutRows

REPORT, TEACHER = "report.html", "teacher"


class Labels:
    """Cross entropy of each text's label, in nats, over texts; the batch has the label as the target."""

    terms: Mapping[str, Term]

    def __init__(self) -> None:
        self.terms = {"label": Term(), "accuracy": Term(0.0)}

    def counts(self, batch: TensorBatch) -> dict[str, int]:
        """The texts."""
        return dict.fromkeys(self.terms, int(batch.mask_BT.sum()))

    def loss(self, model: Any, batch: TensorBatch) -> dict[str, Tensor]:
        """Sums over the texts of cross entropy and of right choices."""
        logits_NC, truth_N = outputs_at_ends(model, batch).float(), batch.targets_BT[batch.mask_BT]
        return {
            "label": F.cross_entropy(logits_NC, truth_N, reduction="sum"),
            "accuracy": (logits_NC.detach().argmax(-1) == truth_N).sum().float(),
        }


@dataclass(slots=True)
class Prepared:
    """A model with a head, perhaps with an adapter, and labelled texts that are ready for it."""

    model: HeadedDecoder
    tokenizer: Tokenizer
    base: Path
    train: list[Labelled]
    heldout: list[Labelled]
    examples: list[Example]
    """Those learned from, as token ids with their labels' numbers."""
    heldout_examples: list[Example]
    context: int
    """Tokens of a row."""
    cut: int
    """Texts that were cut."""
    data: dict[str, Any]
    """What the run record says of the data."""
    skipped: str
    """What was skipped, a line a reason."""


@dataclass(slots=True)
class ClassifyResult:
    """What training a classifier came to."""

    training: TrainResult
    """What the loop says."""
    labels: tuple[str, ...]
    """The labels."""
    examples: int
    """Texts learned from, those with labels that another classifier gave included."""
    heldout: int
    """Held-out texts."""
    pseudo: int
    """Texts learned from with a label that another classifier gave."""
    tokens: int
    """Tokens that went through the model, padding not counted."""
    padding: float
    """Share of the rows' room that was padding."""
    cut: int
    """Texts cut because they were too long."""
    judgement: ClassJudgement | None = None
    """What the held-out texts say; None where nothing is held out."""
    classifier: Classifier | None = field(default=None, repr=False)
    """The classifier."""

    def to_json(self) -> dict[str, Any]:
        """The keys of the verb."""
        judged = {} if self.judgement is None else self.judgement.to_json()
        return {
            "checkpoint": str(self.training.checkpoint),
            "labels": list(self.labels),
            "examples": self.examples,
            "heldout": self.heldout,
            "pseudo_labelled": self.pseudo,
            "accuracy": judged.get("accuracy"),
            "accuracy_interval": judged.get("accuracy_interval"),
            "macro_f1": judged.get("macro_f1"),
            "macro_f1_interval": judged.get("macro_f1_interval"),
            "calibration_error": judged.get("calibration_error"),
            "loss": self.training.loss,
            "validation_loss": self.training.validation_loss,
            "seconds": self.training.seconds,
            "tokens_per_second": self.tokens / max(self.training.seconds, 1e-9),
            "tokens": self.tokens,
            "padding": self.padding,
            "cut": self.cut,
            "kept_step": self.training.kept_step,
        }


def train_classifier(config: ClassifyConfig) -> ClassifyResult:
    """Train as the config says and leave the classifier and report.html in `config.out`.

    With unlabelled texts a first classifier is trained in `out`/teacher, and the texts that it is sure of
    are learned from too. Raises what reading and `train` raise; Ctrl-C leaves a run that --resume goes on
    with.
    """
    _begin(config)
    check_place(config.out, resume=config.loop.resume)
    extra: list[Labelled] = []
    if config.unlabelled:
        texts = read_labelled(config.unlabelled, text_column=config.text_column, labelled=False)
        extra = _pseudo_labelled(config, [item.text for item in texts.items])
    ready = prepare(config, extra)
    source, loop = _rows(ready, config), _loop(config, ready)
    validation = None
    if ready.heldout:
        validation = HeldoutRows(ready.heldout_examples, context=ready.context, batch_size=config.batch_size)
    training = train(
        ready.model,
        Labels(),
        source,
        loop,
        out=config.out,
        tokenizer=ready.tokenizer,
        validation=validation,
        run=run_record(config=to_dict(config), data=ready.data, parent=ready.base, parent_name=config.model),
    )
    classifier = Classifier(ready.model, ready.tokenizer)
    seen = source.seen()
    result = ClassifyResult(
        training=training,
        labels=classifier.labels,
        examples=len(ready.train),
        heldout=len(ready.heldout),
        pseudo=len(extra),
        tokens=seen.tokens,
        padding=1 - seen.tokens / max(seen.room, 1),
        cut=ready.cut,
        judgement=judge(classifier, ready.heldout) if ready.heldout else None,
        classifier=classifier,
    )
    if config.report:
        from shizuku.tuning.classification.page import write_page

        write_page(config.out / REPORT, config, ready, result)
    return result


def judge(classifier: Classifier, items: Sequence[Labelled]) -> ClassJudgement:
    """What labelled texts say of a classifier."""
    found = classifier.predict([item.text for item in items])
    truth = [item.label for item in items]
    return judge_labels(truth, found.labels, classifier.labels, confidence=found.confidence_N)


def sure_ones(classifier: Classifier, texts: Sequence[str], confidence: float) -> list[Labelled]:
    """The texts of whose label a classifier is sure, with that label."""
    found = classifier.predict(texts)
    return [
        Labelled(text, label)
        for text, label, sure in zip(texts, found.labels, found.confidence_N, strict=True)
        if sure >= confidence
    ]


def plan(config: ClassifyConfig) -> dict[str, Any]:
    """What the run would be: texts, tokens, steps, and time as measured by a few steps."""
    _begin(config)
    ready = prepare(config, [])
    source, loop = _rows(ready, config), _loop(config, ready)
    batches = [on_device(batch, torch.device("cpu")) for batch in peek(source, loop.accumulate)]
    each = seconds_per_step(
        ready.model, Labels(), batches, loop.optimizer, loop.parallel, precision=loop.precision
    )
    steps = loop.steps or max(1, int((loop.max_seconds or 0) / each))
    seen = source.seen(steps * config.batch_size * loop.accumulate)
    parameters = list(ready.model.parameters())
    return {
        "labels": ", ".join(ready.model.labels),
        "examples": len(ready.train),
        "heldout": len(ready.heldout),
        "skipped": ready.skipped or "nothing",
        "cut": ready.cut,
        "context": ready.context,
        "parameters": sum(one.numel() for one in parameters),
        "trained_parameters": sum(one.numel() for one in parameters if one.requires_grad),
        "steps": steps,
        "tokens": seen.tokens,
        "padding": 1 - seen.tokens / max(seen.room, 1),
        "seconds": steps * each,
    }


def prepare(config: ClassifyConfig, extra: Sequence[Labelled]) -> Prepared:
    """Read the texts and the model, and encode the former for the latter; `extra` ones are learned from."""
    problems = Problems()
    columns = {"text_column": config.text_column, "label_column": config.label_column}
    read = read_labelled(config.data, problems=problems, **columns)  # type: ignore[arg-type]
    say(read.say())
    trained, held = split_labelled(read.items, config.validation, config.split_seed)
    if config.validation_data:
        held = read_labelled(config.validation_data, problems=problems, **columns).items  # type: ignore[arg-type]
        trained = read.items
    known = {item.digest for item in held}
    trained = [item for item in [*trained, *extra] if item.digest not in known]
    labels = _checked(read, held)
    path = resolve(config.model)
    found = load_checkpoint(path)
    if found.tokenizer is None:
        raise CheckpointError(f"{path} has no tokenizer: put its tokenizer.json there")
    model = HeadedDecoder(found.model, len(labels), labels=labels)
    if config.lora.rank:
        put_adapter(model, config, path)
    window = config.context or model.config.context
    if window > model.config.context:
        raise ConfigError(f"--context {window}: the model's window has {model.config.context} tokens")
    place = {label: number for number, label in enumerate(labels)}
    parts, cut = [], 0
    for items in (trained, held):
        texts = [text_ids(found.tokenizer, item.text) for item in items]
        cut += sum(len(ids) > window for ids in texts)
        parts.append(
            [read_at_end(ids[:window], place[item.label]) for ids, item in zip(texts, items, strict=True)]
        )
    if problems:
        say(problems.report())
    if cut:
        say(f"texts longer than {window:,} tokens: {cut:,} cut (--context)")
    if not held:
        say("no texts are held out, so nothing says how good the classifier is (--validation)")
    longest = max(len(one.ids) - 1 for part in parts for one in part)
    data = {
        "files": {str(file): file_digest(Path(file)) for file in (*config.data, *config.validation_data)},
        "columns": list(read.columns),
        "skipped": dict(problems.counts),
        "labels": list(labels),
        "texts": len(trained),
        "pseudo_labelled": len(extra),
        "heldout": len(held),
        "cut_too_long": cut,
    }
    return Prepared(
        model, found.tokenizer, path, trained, held, parts[0], parts[1], max(longest, LEAST_CONTEXT), cut, data,
        problems.report(),
    )  # fmt: skip


def _checked(read: LabelledTexts, held: Sequence[Labelled]) -> tuple[str, ...]:
    labels = read.labels
    if len(labels) < 2:
        raise DocumentError(
            f"all texts have the label {labels[0]!r}: a classifier needs two or more (--data)"
        )
    if len(labels) > 1000:
        raise DocumentError(
            f"{len(labels):,} labels for {len(read.items):,} texts: is {read.columns[1]} the column of the "
            "label? Name it with --label-column"
        )
    unknown = sorted({item.label for item in held} - set(labels))
    if unknown:
        raise DocumentError(f"--validation-data has the label {unknown[0]!r}, which --data has not")
    return labels


def _pseudo_labelled(config: ClassifyConfig, texts: Sequence[str]) -> list[Labelled]:
    """The texts of which a first classifier, trained on the labelled ones alone, is sure."""
    place = config.out / TEACHER
    kept = place / "sure.jsonl"
    if config.loop.resume and kept.is_file():
        lines = kept.read_text(encoding="utf-8").splitlines()
        return [Labelled(**json.loads(line)) for line in lines]
    loop = replace(config.loop, resume=config.loop.resume and place.is_dir())
    first = train_classifier(replace(config, out=place, unlabelled=(), predict=(), report=False, loop=loop))
    assert first.classifier is not None, "a run leaves its classifier"
    sure = sure_ones(first.classifier, texts, config.confidence)
    say(f"sure of {len(sure):,} of {len(texts):,} unlabelled texts (--confidence {config.confidence:g})")
    kept.write_text(
        "".join(f"{json.dumps({'text': each.text, 'label': each.label})}\n" for each in sure),
        encoding="utf-8",
    )
    return sure


def _begin(config: ClassifyConfig) -> None:
    if config.report and find_spec("matplotlib") is None:
        raise MissingExtraError("report.html needs matplotlib: pip install 'shizuku[report]', or --no-report")
    if config.threads is not None:
        torch.set_num_threads(config.threads)


def _rows(ready: Prepared, config: ClassifyConfig) -> ExampleRows:
    return ExampleRows(
        ready.examples, context=ready.context, batch_size=config.batch_size, seed=config.loop.seed
    )


def _loop(config: ClassifyConfig, ready: Prepared) -> Any:
    per_step = config.batch_size * config.loop.accumulate
    steps = math.ceil(_rows(ready, config).rows_until(config.epochs) / per_step)
    return headed_loop(config.loop, steps=steps, heldout=bool(ready.heldout), keep=config.keep)
