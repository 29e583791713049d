"""A classifier put together: labelled texts, head, objective and the one loop, for `shizuku classify`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from shizuku.checkpoints.directory import run_record
from shizuku.config import to_dict
from shizuku.evaluation.classification import ClassJudgement, judge_labels
from shizuku.progress import say
from shizuku.training.config import LoopConfig
from shizuku.training.loop import train
from shizuku.training.result import TrainResult
from shizuku.training.resume import check_place
from shizuku.tuning.classification.classifier import Classifier
from shizuku.tuning.classification.config import ClassifyConfig
from shizuku.tuning.classification.labelled import Labelled, read_labelled
from shizuku.tuning.classification.objective import Labels
from shizuku.tuning.classification.preparing import Prepared, prepare
from shizuku.tuning.rows import ExampleRows, HeldoutRows
from shizuku.tuning.run import begin, forecast, loop_of

REPORT, TEACHER = "report.html", "teacher"


@dataclass(slots=True)
class ClassifyResult:
    """What training a classifier came to."""

    training: TrainResult
    """What the loop says."""
    labels: tuple[str, ...]
    """The labels."""
    examples: int
    """Texts learned from, those with labels that another classifier gave included."""
    pairs: bool
    """Whether these are pairs of texts."""
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
            **self.training.to_json(self.tokens),
            "labels": list(self.labels),
            "examples": self.examples,
            "pairs": self.pairs,
            "heldout": self.heldout,
            "pseudo_labelled": self.pseudo,
            "accuracy": judged.get("accuracy"),
            "accuracy_interval": judged.get("accuracy_interval"),
            "macro_f1": judged.get("macro_f1"),
            "macro_f1_interval": judged.get("macro_f1_interval"),
            "calibration_error": judged.get("calibration_error"),
            "padding": self.padding,
            "cut": self.cut,
        }


def train_classifier(config: ClassifyConfig) -> ClassifyResult:
    """Train as the config says and leave the classifier and report.html in `config.out`.

    With unlabelled texts a first classifier is trained in `out`/teacher, and the texts that it is sure of
    are learned from too. Raises what reading and `train` raise; Ctrl-C leaves a run that --resume goes on
    with.
    """
    begin(config)
    check_place(config.out, resume=config.loop.resume)
    extra: list[Labelled] = []
    if config.unlabelled:
        texts = read_labelled(
            config.unlabelled,
            text_column=config.text_column,
            pair_column=config.pair_column,
            labelled=False,
        )
        extra = _pseudo_labelled(config, [item.read for item in texts.items])
    ready = prepare(config, extra)
    source, validation = _rows(ready, config), _heldout_rows(ready, config)
    loop = _loop(config, source, validation)
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
    classifier = Classifier(ready.model, ready.tokenizer, pairs=ready.pairs)
    seen = source.seen()
    result = ClassifyResult(
        training=training,
        labels=classifier.labels,
        examples=len(ready.train),
        pairs=ready.pairs,
        heldout=len(ready.heldout),
        pseudo=len(extra),
        tokens=seen.tokens,
        padding=seen.padding,
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
    found = classifier.predict([item.read for item in items])
    truth = [item.label for item in items]
    return judge_labels(truth, found.labels, classifier.labels, confidence=found.confidence_N)


def sure_ones(
    classifier: Classifier, texts: Sequence[str | tuple[str, str]], confidence: float
) -> list[Labelled]:
    """The texts, or pairs, of whose label a classifier is sure, with that label."""
    found = classifier.predict(texts)
    return [
        Labelled(text, label) if isinstance(text, str) else Labelled(text[0], label, text[1])
        for text, label, sure in zip(texts, found.labels, found.confidence_N, strict=True)
        if sure >= confidence
    ]


def plan(config: ClassifyConfig) -> dict[str, Any]:
    """What the run would be: texts, tokens, steps, and time as measured by a few steps."""
    begin(config)
    ready = prepare(config, [])
    source = _rows(ready, config)
    loop = _loop(config, source, _heldout_rows(ready, config))
    ahead = forecast(ready.model, Labels(), source, loop, batch_size=config.batch_size)
    return {
        "labels": ", ".join(ready.model.labels),
        "examples": len(ready.train),
        "pairs": ready.pairs,
        "heldout": len(ready.heldout),
        "skipped": ready.skipped or "nothing",
        "cut": ready.cut,
        "context": ready.context,
        **ahead.to_json(),
    }


def _pseudo_labelled(config: ClassifyConfig, texts: Sequence[str | tuple[str, str]]) -> list[Labelled]:
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
        "".join(f"{json.dumps(asdict(each))}\n" for each in sure),
        encoding="utf-8",
    )
    return sure


def _rows(ready: Prepared, config: ClassifyConfig) -> ExampleRows:
    return ExampleRows(
        ready.examples,
        context=ready.context,
        batch_size=config.batch_size,
        seed=config.loop.seed,
        share=not ready.model.whole,
    )


def _heldout_rows(ready: Prepared, config: ClassifyConfig) -> HeldoutRows | None:
    if not ready.heldout:
        return None
    return HeldoutRows(
        ready.heldout_examples,
        context=ready.context,
        batch_size=config.batch_size,
        share=not ready.model.whole,
    )


def _loop(config: ClassifyConfig, source: ExampleRows, heldout: HeldoutRows | None) -> LoopConfig:
    rows = 0 if heldout is None else len(heldout.rows)
    return loop_of(config, items=source.rows_until(config.epochs), heldout=rows)
