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
from shizuku.tuning.classification.preparing import check_pairs

PREDICTIONS = "predictions.jsonl"


def label_files(classifier: str | Path, config: ClassifyConfig) -> dict[str, Any]:
    """Label every text, or pair, of `config.predict`, a line each with its texts, label and probabilities."""
    problems = Problems()
    read = read_labelled(
        config.predict,
        text_column=config.text_column,
        pair_column=config.pair_column,
        labelled=False,
        problems=problems,
    )
    model = Classifier.load(resolve(str(classifier)))
    if model.pairs is not None:
        check_pairs(read.items, pairs=model.pairs, flag="--predict")
    start = time.perf_counter()
    found = model.predict([item.read for item in read.items])
    seconds = time.perf_counter() - start
    path = config.out / PREDICTIONS
    with new_file(path) as made, made.open("w", encoding="utf-8") as file:
        for item, label, row in zip(read.items, found.labels, found.probabilities_NC, strict=True):
            chances = {name: round(float(each), 6) for name, each in zip(model.labels, row, strict=True)}
            second = {} if item.text_pair is None else {"text_pair": item.text_pair}
            line = {"text": item.text, **second, "label": label, "probabilities": chances}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return {
        "predictions": str(path),
        "texts": len(read.items),
        "pairs": read.pair_column is not None,
        "skipped": sum(problems.counts.values()),
        "counts": dict(Counter(found.labels)),
        "seconds": seconds,
    }
