"""A model with a head as a function from texts to labels.

Legend: `N` texts, `C` labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from shizuku.checkpoints.headed import load_headed
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.heads import HeadedDecoder
from shizuku.text.framing import framed
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.head_rows import head_outputs


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a classifier says of texts."""

    labels: list[str]
    """The most probable label of each text."""
    probabilities_NC: Float[np.ndarray, "N C"]
    """The probability of each label, in the classifier's order."""

    @property
    def confidence_N(self) -> Float[np.ndarray, "N"]:
        """The probability of the label that was chosen."""
        best: np.ndarray = self.probabilities_NC.max(axis=1)
        return best


class Classifier:
    """A trained classifier: `Classifier.load(DIR).predict(texts)`.

    A text is read as it is, without a chat template, at its last token, by an encoder at its first; what is
    longer than the window is read up to there.
    """

    def __init__(self, model: HeadedDecoder, tokenizer: Tokenizer) -> None:
        if model.outputs < 2:
            raise CheckpointError("a classifier has two labels or more; this is a reward model")
        self.model, self.tokenizer = model.eval(), tokenizer

    @classmethod
    def load(cls, path: str | Path) -> "Classifier":
        """Open what `shizuku classify` wrote, or a classifier of transformers'; raises as `load_headed`."""
        found = load_headed(path)
        if found.tokenizer is None:
            raise CheckpointError(f"{path} has no tokenizer: put its tokenizer.json there")
        return cls(found.model, found.tokenizer)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it knows."""
        return self.model.labels

    def predict(self, texts: Sequence[str]) -> Predictions:
        """The labels of texts and their probabilities; ConfigError for a text that is empty."""
        window = self.model.config.context
        ids = [
            cut_to(text_ids(self.tokenizer, text, whole=self.model.whole), window, whole=self.model.whole)
            for text in texts
        ]
        logits_NC = head_outputs(self.model, ids, what="labelling texts" if len(ids) > 64 else None)
        probabilities_NC = logits_NC.double().softmax(-1).numpy()
        return Predictions([self.labels[number] for number in probabilities_NC.argmax(1)], probabilities_NC)


def text_ids(tokenizer: Tokenizer, text: str, *, whole: bool = False) -> list[int]:
    """The ids of a text as transformers' tokenizer gives them, so that its classifiers read the same: between
    its marks for a model that reads whole texts.
    """
    ids = tokenizer.encode(text)
    if whole and ids:
        return framed(tokenizer, ids)
    added = list(tokenizer.backend.encode("").ids)
    if tokenizer.bos_id is not None and (
        added == [tokenizer.bos_id] or tokenizer.settings.get("add_bos_token")
    ):
        ids = [tokenizer.bos_id, *ids]
    if not ids:
        raise ConfigError("a text without any token has no label")
    return ids


def cut_to(ids: list[int], window: int, *, whole: bool) -> list[int]:
    """The first `window` ids; a whole text keeps its closing mark."""
    return [*ids[: window - 1], ids[-1]] if whole and len(ids) > window else ids[:window]
