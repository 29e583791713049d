"""A model with a head as a function from texts, or pairs of texts, to labels.

Legend: `N` texts, `C` labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from shizuku.checkpoints.headed import load_headed
from shizuku.checkpoints.undisturbed import needed_tokenizer
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.heads import HeadedDecoder
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.classification.encoding import read_text
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
    """A trained classifier: `Classifier.load(DIR).predict(texts)`, a pair being a tuple of two texts.

    A text is read as it is, without a chat template, at its last token, by an encoder at its first; what is
    longer than the window is read up to there. A pair is read as `read_text` says.
    """

    def __init__(self, model: HeadedDecoder, tokenizer: Tokenizer, *, pairs: bool | None = None) -> None:
        """Label with `model`; `pairs` says whether it learned from pairs (None: it is not known)."""
        if model.outputs < 2:
            raise CheckpointError("a classifier has two labels or more; this is a reward model")
        self.model, self.tokenizer, self.pairs = model.eval(), tokenizer, pairs

    @classmethod
    def load(cls, path: str | Path) -> "Classifier":
        """Open what `shizuku classify` wrote, or a classifier of transformers'; raises as `load_headed`."""
        found = load_headed(path)
        tokenizer = needed_tokenizer(found.tokenizer, found.path)
        return cls(found.model, tokenizer, pairs=(found.run.get("data") or {}).get("pairs"))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it knows."""
        return self.model.labels

    def predict(self, texts: Sequence[str | Sequence[str]]) -> Predictions:
        """The labels of texts, or of pairs of texts, and their probabilities.

        ConfigError for a text that is empty, and for pairs where it learned from single texts or the other
        way round.
        """
        self._check(texts)
        window, whole = self.model.config.context, self.model.whole
        read = [read_text(self.tokenizer, text, window=window, whole=whole) for text in texts]
        logits_NC = head_outputs(
            self.model,
            [each.ids for each in read],
            seconds=[each.second for each in read],
            what="labelling texts" if len(read) > 64 else None,
        )
        probabilities_NC = logits_NC.double().softmax(-1).numpy()
        return Predictions([self.labels[number] for number in probabilities_NC.argmax(1)], probabilities_NC)

    def _check(self, texts: Sequence[str | Sequence[str]]) -> None:
        if isinstance(texts, str):
            raise ConfigError("predict takes a list of texts: got one string")
        strange = [text for text in texts if self.pairs is not None and isinstance(text, str) == self.pairs]
        if strange:
            learned, given = ("pairs of texts", "a single text") if self.pairs else ("single texts", "a pair")
            raise ConfigError(f"this classifier learned from {learned}: {strange[0]!r:.60} is {given}")
