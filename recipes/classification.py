"""Fine-tuning for a task against prompting: one model, one split, the same measures with intervals.

    python recipes/classification.py [MODEL] [--data FILE] [--labelled 200] [--unlabelled 200] [--test 150]
        [--methods frequent prompt lora full pseudo] [--shots 0 1] [--words LABEL=WORD …] [--epochs 2]
        [--rate R] [--seed 0]

The default task is tweets that are hate, offensive or neither (Davidson et al. 2017; offensive texts, none is
printed). A seed draws the texts: labelled ones to learn from, of which a tenth chooses the step and the
first of each label are the examples of prompting; unlabelled ones for pseudo-labels; and test texts, looked
at once by each method. Intervals are 95 % over test texts.
"""

import argparse
import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

import shizuku
from shizuku.adapters.config import AdapterConfig
from shizuku.evaluation.classification import ClassJudgement, judge_labels
from shizuku.tuning.classification.config import ClassifyConfig
from shizuku.tuning.classification.labelled import Labelled, read_labelled
from shizuku.tuning.classification.prompting import prompted_labels, shots
from shizuku.tuning.classification.training import judge, train_classifier
from shizuku.tuning.reward_config import ADAPTER_RATE, RATE, head_loop

TWEETS = Path(os.environ.get("SHIZUKU_DATA", "../shared/data")) / "toxicity/davidson.csv"
WORDS = ("0=hate", "1=offensive", "2=neither")
METHODS = ("frequent", "prompt", "lora", "full", "pseudo")
ASK = "Say whether the text is {}."


def drawn(items: Sequence[Labelled], sizes: Sequence[int], seed: int) -> list[list[Labelled]]:
    """Disjoint parts of these sizes, no text twice, with the labels as frequent as they are."""
    distinct = list({item.digest: item for item in items}.values())
    order = np.random.default_rng(seed).permutation(len(distinct))
    ends = np.cumsum([0, *sizes])
    return [[distinct[n] for n in order[a:b]] for a, b in pairwise(ends)]


def written(items: Sequence[Labelled], path: Path) -> Path:
    """The texts as a file that `shizuku classify` reads."""
    path.write_text(
        "\n".join(json.dumps({"text": i.text, "label": i.label}) for i in items), encoding="utf-8"
    )
    return path


def tuned(
    arguments: argparse.Namespace, parts: Sequence[Sequence[Labelled]], folder: Path, method: str
) -> tuple[ClassJudgement, str]:
    """A fine-tuned classifier on the test texts, and what it took."""
    labelled, unlabelled, test = parts
    adapted, loop = method != "full", head_loop()
    rate = arguments.rate or (ADAPTER_RATE if adapted else RATE)
    optimizer = replace(loop.optimizer, learning_rate=rate)
    config = ClassifyConfig(
        model=arguments.model,
        data=(written(labelled, folder / "labelled.jsonl"),),
        unlabelled=(written(unlabelled, folder / "unlabelled.jsonl"),) if method == "pseudo" else (),
        confidence=arguments.confidence,
        out=folder / method,
        epochs=arguments.epochs,
        lora=AdapterConfig(rank=arguments.rank if adapted else 0),
        report=False,
        loop=replace(loop, optimizer=optimizer, seed=arguments.seed),
    )
    result = train_classifier(config)
    assert result.classifier is not None, "a run leaves its classifier"
    more = f", {result.pseudo} of them with its own labels" if method == "pseudo" else ""
    note = f"{result.examples} texts{more}, {result.tokens:,} tokens, {result.training.seconds:.0f} s"
    return judge(result.classifier, test), note


def prompted(
    arguments: argparse.Namespace, words: dict[str, str], parts: Sequence[Sequence[Labelled]], number: int
) -> tuple[ClassJudgement, str]:
    """The model itself, asked behind so many examples of each label."""
    labelled, _, test = parts
    shown = shots(labelled, list(words), number)
    found = prompted_labels(
        shizuku.load(arguments.model), [item.text for item in test], words, examples=shown,
        instruction=ASK.format(" or ".join([", ".join([*words.values()][:-1]), [*words.values()][-1]])),
    )  # fmt: skip
    truth = [item.label for item in test]
    judged = judge_labels(truth, found.labels, list(words), confidence=found.confidence_N)
    return judged, f"{len(shown)} examples shown"


def frequent(words: dict[str, str], parts: Sequence[Sequence[Labelled]]) -> tuple[ClassJudgement, str]:
    """Always the label that is most frequent among the labelled texts."""
    labelled, _, test = parts
    best = Counter(item.label for item in labelled).most_common(1)[0][0]
    return judge_labels([item.label for item in test], [best] * len(test), list(words)), words[best]


def main(argv: Sequence[str] | None = None) -> dict[str, ClassJudgement]:
    """Run the methods and print a table; returns what the test texts say of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--data", type=Path, default=TWEETS)
    for name, number in (("labelled", 200), ("unlabelled", 200), ("test", 150), ("rank", 8), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--rate", type=float, help="of the optimizer, in place of each method's default")
    parser.add_argument("--confidence", type=float, default=0.9)
    parser.add_argument("--shots", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=METHODS)
    parser.add_argument("--words", nargs="*", default=WORDS)
    arguments = parser.parse_args(argv)
    words = dict(pair.split("=", 1) for pair in arguments.words)
    sizes = [arguments.labelled, arguments.unlabelled, arguments.test]
    parts = drawn(read_labelled([arguments.data]).items, sizes, arguments.seed)
    print("| method | accuracy | macro F1 | calibration error | |\n|---|---|---|---:|---|")
    found: dict[str, ClassJudgement] = {}
    with tempfile.TemporaryDirectory() as folder:
        for method in arguments.methods:
            for number in arguments.shots if method == "prompt" else [0]:
                if method == "frequent":
                    judged, note = frequent(words, parts)
                elif method == "prompt":
                    judged, note = prompted(arguments, words, parts, number)
                else:
                    judged, note = tuned(arguments, parts, Path(folder), method)
                name = f"prompt, {number} a label" if method == "prompt" else method
                error = "–" if judged.calibration_error is None else f"{judged.calibration_error:.3f}"
                print(f"| {name} | {judged.accuracy} | {judged.macro_f1} | {error} | {note} |", flush=True)
                found[name] = judged
    return found


if __name__ == "__main__":
    main()
