"""Texts of files labelled by a classifier, into predictions.jsonl."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from shizuku.checkpoints.names import resolve
from shizuku.checkpoints.replacing import new_file
from shizuku.text.problems import Problems
from shizuku.tuning.classification.classifier import Classifier
from shizuku.tuning.classification.config import ClassifyConfig
from shizuku.tuning.classification.labelled import read_labelled

PREDICTIONS = "predictions.jsonl"


def label_files(classifier: str | Path, config: ClassifyConfig) -> dict[str, Any]:
    """Label every text of `config.predict`, a line each with text, label and probabilities."""
    problems = Problems()
    read = read_labelled(config.predict, text_column=config.text_column, labelled=False, problems=problems)
    model = Classifier.load(resolve(str(classifier)))
    start = time.perf_counter()
    found = model.predict([item.text for item in read.items])
    seconds = time.perf_counter() - start
    path = config.out / PREDICTIONS
    with new_file(path) as made, made.open("w", encoding="utf-8") as file:
        for item, label, row in zip(read.items, found.labels, found.probabilities_NC, strict=True):
            chances = {name: round(float(each), 6) for name, each in zip(model.labels, row, strict=True)}
            line = {"text": item.text, "label": label, "probabilities": chances}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return {
        "predictions": str(path),
        "texts": len(read.items),
        "skipped": sum(problems.counts.values()),
        "counts": dict(Counter(found.labels)),
        "seconds": seconds,
    }
