"""BLEU of translations, by sacrebleu with one fixed signature, and how probable references are."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shizuku.errors import MissingExtraError
from shizuku.translation import Translator


@dataclass(frozen=True, slots=True)
class Bleu:
    """BLEU over a whole set (Papineni et al. 2002; Post 2018)."""

    score: float
    """0 to 100."""
    precisions: tuple[float, ...]
    """Of n-grams of 1 to 4 words, in percent."""
    brevity_penalty: float
    """What it was multiplied by for being shorter than the references."""
    signature: str
    """How it was computed: the same for all figures of this package but for the version."""


def bleu(translations: Sequence[str], references: Sequence[str]) -> Bleu:
    """BLEU of translations against one reference each: cased, tokenised by mteval-v13a, exponential
    smoothing. MissingExtraError without sacrebleu.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise MissingExtraError("BLEU needs sacrebleu: pip install 'shizuku[translation]'") from error
    metric = BLEU(tokenize="13a", lowercase=False, smooth_method="exp", effective_order=False)
    found = metric.corpus_score(list(translations), [list(references)])
    return Bleu(found.score, tuple(found.precisions), found.bp, str(metric.get_signature()))


@dataclass(frozen=True, slots=True)
class TranslationQuality:
    """How well a model translates a set of pairs."""

    bleu: Bleu
    """Of its own translations."""
    nats_per_token: float
    """Mean negative log-probability of the references' tokens, their ends counted."""
    pairs: int
    """How many."""
    target_tokens: int
    """Tokens of the references."""
    translations: tuple[str, ...]
    """What it wrote."""
    seconds: float
    """What translating took."""


def evaluate_translation(
    translator: Translator, pairs: Sequence[tuple[str, str]], *, beams: int = 4, length_penalty: float = 1.0
) -> TranslationQuality:
    """Translate all sources and compare; raises as `Translator.translate` and `bleu`."""
    sources, references = [source for source, _ in pairs], [target for _, target in pairs]
    begun = time.perf_counter()
    translations = translator.translate(sources, beams=beams, length_penalty=length_penalty)
    seconds = time.perf_counter() - begun
    scores = translator.score(references, sources)
    nats = -float(np.concatenate([one.token_logprobs for one in scores]).mean(dtype=np.float64))
    tokens = sum(len(one.token_ids) for one in scores)
    return TranslationQuality(
        bleu(translations, references), nats, len(pairs), tokens, tuple(translations), seconds
    )
