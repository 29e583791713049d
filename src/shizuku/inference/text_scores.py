"""Texts scored as they are given: strings or token ids, behind the token that begins a document."""

from typing import Any

from shizuku.errors import ConfigError
from shizuku.inference.engine import Engine
from shizuku.inference.pseudo_likelihood import pseudo_scores
from shizuku.inference.runtime import reads_whole
from shizuku.inference.scoring import Score, score_sequences
from shizuku.inference.validation import one_sequence
from shizuku.progress import warn_once
from shizuku.text.tokenizer import Tokenizer


def score_texts(
    engine: Engine,
    tokenizer: Tokenizer,
    texts: Any,
    contexts: Any,
    *,
    context: int,
    adapter: str | None = None,
) -> list[Score]:
    """What `LanguageModel.score` answers, within a window of `context` tokens; raises as it does."""
    if isinstance(texts, str) or isinstance(contexts, str):
        raise ConfigError("score takes a list of texts, and contexts as a list: got one string")
    sequences = [_encode(tokenizer, text, "text") for text in texts]
    before = [_encode(tokenizer, text, "context") for text in contexts or [[]] * len(sequences)]
    if len(before) != len(sequences):
        raise ConfigError(f"{len(sequences)} texts, but {len(before)} contexts: give one for each text")
    if reads_whole(engine.runtime):
        return pseudo_scores(engine, tokenizer, sequences, before, context=context)
    start = tokenizer.document_start_id
    prefixes = [[*([] if start is None else [start]), *ids] for ids in before]
    if not all(prefixes):
        warn_once(
            "this tokenizer has no token that starts a document: "
            "the first token of a text without context is not scored"
        )
    return score_sequences(engine, sequences, prefixes=prefixes, context=context, adapter=adapter)


def _encode(tokenizer: Tokenizer, text: Any, what: str) -> list[int]:
    return tokenizer.encode(text) if isinstance(text, str) else one_sequence(text, what)
