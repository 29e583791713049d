"""Labels by prompting: the label word that a language model finds most probable behind a few examples."""

from collections.abc import Mapping, Sequence

import numpy as np

from shizuku.errors import ConfigError
from shizuku.inference.choices import choice_log_probs
from shizuku.language_model import LanguageModel
from shizuku.tuning.classification.classifier import Predictions
from shizuku.tuning.classification.labelled import Labelled


def prompted_labels(
    lm: LanguageModel,
    texts: Sequence[str],
    words: Mapping[str, str],
    *,
    examples: Sequence[Labelled] = (),
    instruction: str = "",
) -> Predictions:
    """Label texts by the log-probability of each label's word, in nats, behind `examples` and the text.

    `words` names each label by a word that says what it means. Probabilities are those of the words, made to
    sum to 1 (Brown et al. 2020, without their division by a word's probability alone). ConfigError for a
    label without a word, and for fewer than two.
    """
    labels = list(words)
    if any(item.text_pair is not None for item in examples):
        raise ConfigError("prompting labels single texts: its examples can't be pairs")
    unknown = sorted({item.label for item in examples} - set(labels))
    if len(labels) < 2 or unknown:
        raise ConfigError(
            f"prompting needs a word for each of two or more labels; none for {unknown or labels}"
        )
    shown = "".join(f"{_asked(item.text)} {words[item.label]}\n\n" for item in examples)
    before = f"{instruction}\n\n{shown}" if instruction else shown
    start = lm.tokenizer.document_start_id
    contexts = [
        [*([] if start is None else [start]), *lm.tokenizer.encode(f"{before}{_asked(text)}")]
        for text in texts
    ]
    spelled = [lm.tokenizer.encode(f" {word}") for word in words.values()]
    logprobs_NC = choice_log_probs(lm.engine, contexts, spelled, adapter=lm.adapter)
    shifted_NC = np.exp(logprobs_NC - logprobs_NC.max(axis=1, keepdims=True))
    probabilities_NC = shifted_NC / shifted_NC.sum(axis=1, keepdims=True)
    return Predictions([labels[number] for number in probabilities_NC.argmax(1)], probabilities_NC)


def shots(items: Sequence[Labelled], labels: Sequence[str], each: int) -> list[Labelled]:
    """The first `each` texts of every label, taken in turns; ConfigError where there are too few."""
    by_label = {label: [item for item in items if item.label == label][:each] for label in labels}
    few = [label for label, found in by_label.items() if len(found) < each]
    if few:
        raise ConfigError(f"fewer than {each} texts with the label {few[0]!r} to show")
    return [by_label[label][number] for number in range(each) for label in labels]


def _asked(text: str) -> str:
    return f"Text: {' '.join(text.split())}\nLabel:"
