"""Perplexity and bits per byte of a whole text: every token scored exactly once, in sliding windows.

A document is scored by itself behind the document start token. Its first window scores all its tokens;
each later one moves on by `stride` tokens and scores only those, behind `window - stride` tokens of context
or more. A stride of 1 gives every token the longest context that the window allows.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from shizuku.errors import ConfigError, DocumentError, ModelError
from shizuku.evaluation.bootstrap import Estimate, bootstrap_ratio
from shizuku.inference.scoring import PASS_TOKENS, Passage, score_passages
from shizuku.language_model import LanguageModel
from shizuku.progress import bar, hushed, warn_once
from shizuku.text.documents import Document

DEFAULT_WINDOW = 1024
# Windows are collected up to so many tokens, so that those of similar length share a pass.
TOKENS_AT_ONCE = 8 * PASS_TOKENS


@dataclass(frozen=True, kw_only=True, slots=True)
class Perplexity:
    """How well a model predicts a text."""

    documents: int
    """Documents with at least one scored token."""
    tokens: int
    """Scored tokens."""
    bytes: int
    """UTF-8 bytes of the scored tokens' text."""
    nats: float
    """Sum of -log p over the scored tokens."""
    unscored_tokens: int
    """First tokens of documents that nothing stands before; their bytes aren't counted either."""
    window: int
    """Tokens that the model sees at once."""
    stride: int
    """Tokens by which the window moves on."""
    of_documents: np.ndarray = field(compare=False, repr=False)
    """float64 [D, 2]: the nats and the bytes of each document with a scored token, in their order."""

    @property
    def perplexity(self) -> float:
        """exp of the mean -log p of a token; comparable only between models with the same tokenizer."""
        mean = self.nats / self.tokens
        return math.exp(mean) if mean < 700 else math.inf

    @property
    def bits_per_byte(self) -> float:
        """Bits to encode one UTF-8 byte of the text; comparable between all models."""
        return self.nats / math.log(2) / self.bytes

    def less_than(self, other: "Perplexity") -> Estimate:
        """How many bits a byte fewer than `other` needs for the same documents, with a 95 % interval over
        documents redrawn (`bootstrap`); ConfigError if they are other documents.
        """
        if not np.array_equal(self.of_documents[:, 1], other.of_documents[:, 1]):
            raise ConfigError(
                "two models are compared on the same documents only, and these were scored on different "
                "bytes: one of them has no token that starts a document, or read other text"
            )
        saved_D = (other.of_documents[:, 0] - self.of_documents[:, 0]) / math.log(2)
        return bootstrap_ratio(saved_D, self.of_documents[:, 1])


def evaluate_text(
    lm: LanguageModel,
    documents: Iterable[Document | str] | str,
    *,
    window: int | None = None,
    stride: int | None = None,
) -> Perplexity:
    """Score every token of every document once, with progress on stderr.

    `window` defaults to the context, at most 1024 tokens; `stride` to half of it. Raises ConfigError where
    they don't fit each other or the model, DocumentError where there is nothing to score.
    """
    window, stride = check_window(lm.context, window, stride)
    texts: Iterable[Document | str] = [documents] if isinstance(documents, str) else documents
    start = lm.tokenizer.document_start_id
    if start is None:
        warn_once(
            "this tokenizer has no token that starts a document: the first token of each document is not "
            "scored, and its bytes are not counted"
        )
    if "fill" in lm.capabilities:
        raise ModelError(
            "a model that fills in hidden tokens sees what comes after each: it has a pseudo-perplexity "
            "(evaluate_pseudo, shizuku eval), and no perplexity to stand beside another model's"
        )
    count = _Count()
    waiting: list[tuple[int, Passage]] = []
    with bar("scoring", _total_bytes(texts), "bytes") as progress:
        for text in texts:
            text = text if isinstance(text, str) else text.text
            ids = lm.tokenizer.encode(text)
            size = len(text.encode())
            skipped = 0 if start is not None or not ids else len(lm.tokenizer.token_bytes(ids[0]))
            sequence = ids if start is None else [start, *ids]
            if len(sequence) > 1:
                count.begin(size - skipped)
                count.unscored += start is None
            for passage in windows(sequence, window, stride):
                waiting.append((len(count.bytes_D) - 1, passage))
                if sum(len(other.ids) for _, other in waiting) >= TOKENS_AT_ONCE:
                    count.add(lm, waiting)
                    progress.update(note=count.note())
                    waiting = []
            progress.advance(size)
        count.add(lm, waiting)
    if count.tokens == 0:
        raise DocumentError("there is nothing to score in this text: every document is empty (check --text)")
    return Perplexity(
        documents=len(count.bytes_D),
        tokens=count.tokens,
        bytes=sum(count.bytes_D),
        nats=sum(count.nats_D),
        unscored_tokens=count.unscored,
        window=window,
        stride=stride,
        of_documents=np.stack([np.array(count.nats_D), np.array(count.bytes_D, dtype=np.float64)], axis=1),
    )


def bits_per_byte_of(lm: LanguageModel, texts: Sequence[str]) -> list[float]:
    """Bits per byte of each text by itself, as the corpus filter asks for them; raises as `evaluate_text`."""
    if not all(texts):
        raise DocumentError("an empty text has no bits per byte")
    with hushed():
        found = evaluate_text(lm, texts)
    if len(found.of_documents) != len(texts):
        raise DocumentError("some texts have no token that can be scored: they are too short for this model")
    nats_D, bytes_D = found.of_documents.T
    return [float(bits) for bits in nats_D / math.log(2) / bytes_D]


def check_window(context: int, window: int | None, stride: int | None) -> tuple[int, int]:
    """The window and stride to use for a model of this context; ConfigError where they don't fit."""
    window = min(context, DEFAULT_WINDOW) if window is None else window
    if not 2 <= window <= context:
        raise ConfigError(f"--window {window}: expected 2 up to the model's context length {context}")
    stride = max(window // 2, 1) if stride is None else stride
    if not 1 <= stride < window:
        raise ConfigError(
            f"--stride {stride}: expected 1 to {window - 1}, so that each window of {window} tokens keeps "
            "something before the tokens that it scores"
        )
    return window, stride


def windows(ids: Sequence[int], window: int, stride: int) -> Iterator[Passage]:
    """The windows over one document, whose targets together are every token but the first, each once."""
    scored = 1
    while scored < len(ids):
        end = min(len(ids), window if scored == 1 else scored + stride)
        begin = max(0, end - window)
        yield Passage(ids[begin:end], scored - begin)
        scored = end


class _Count:
    """What has been scored so far."""

    def __init__(self) -> None:
        self.tokens = self.unscored = 0
        self.nats_D: list[float] = []
        self.bytes_D: list[int] = []

    def begin(self, size: int) -> None:
        """Another document, of so many bytes."""
        self.nats_D.append(0.0)
        self.bytes_D.append(size)

    def add(self, lm: LanguageModel, passages: Sequence[tuple[int, Passage]]) -> None:
        """Score passages, each of a document by its number."""
        scores = score_passages(lm.engine, [passage for _, passage in passages], adapter=lm.adapter)
        for (document, _), score in zip(passages, scores, strict=True):
            self.nats_D[document] -= float(score.logprobs_N.sum(dtype=np.float64))
            self.tokens += len(score.logprobs_N)

    def note(self) -> str:
        return f"perplexity {math.exp(min(sum(self.nats_D) / self.tokens, 700)):,.2f}"


def _total_bytes(texts: Iterable[Document | str]) -> float | None:
    if not isinstance(texts, Sequence):
        return None
    return sum(len((text if isinstance(text, str) else text.text).encode()) for text in texts)
