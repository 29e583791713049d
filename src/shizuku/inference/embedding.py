"""One vector for a whole text: of `LanguageModel.embed`, and of the server's /v1/embeddings.

N texts, T tokens of a text, D width.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import numpy as np
from jaxtyping import Float

from shizuku.checkpoints.pooling import Pooling
from shizuku.errors import ConfigError, ModelError
from shizuku.inference.engine import Engine
from shizuku.inference.runtime import Span, reads_whole
from shizuku.inference.sampling import check_numbers
from shizuku.inference.validation import check_prompt, one_sequence
from shizuku.text.framing import framed
from shizuku.text.prompting import prompt_ids
from shizuku.text.tokenizer import Tokenizer

# A text is read in pieces of so many tokens, between which the engine goes on with its requests …
PIECE_TOKENS = 128
# … whole ones, where they can't be read in pieces, together up to so many …
WHOLE_TOKENS = 2048
# … as a lock alone would often be had again by whoever has just let it go.
LET_PASS_SECONDS = 0.001


def ids_to_embed(engine: Engine, tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a text as the model reads it: between its marks where it reads whole texts, else as a prompt."""
    if not reads_whole(engine.runtime):
        return prompt_ids(tokenizer, text)
    if not isinstance(text, str):
        raise ModelError(f"a text to embed is a string, got {type(text).__name__} {text!r:.60}")
    return framed(tokenizer, tokenizer.encode(text))


def embed_texts(
    engine: Engine,
    tokenizer: Tokenizer,
    texts: Any,
    *,
    context: int,
    adapter: str | None = None,
    pooling: Pooling = "mean",
) -> Float[np.ndarray, "N D"]:
    """What `LanguageModel.embed` answers; raises as it does."""
    if isinstance(texts, str):
        raise ConfigError("embed takes a list of texts: got one string")
    runtime = engine.runtime
    sequences = [
        ids_to_embed(engine, tokenizer, text) if isinstance(text, str) else one_sequence(text, "text")
        for text in texts
    ]
    for number, ids in enumerate(sequences):
        check_prompt(ids, 0, context=context, vocab_size=runtime.vocab_size, name=f"text {number}")
    return text_vectors(engine, sequences, adapter=adapter, pooling=pooling)


def text_vectors(
    engine: Engine,
    sequences: Sequence[Sequence[int]],
    *,
    adapter: str | None = None,
    pooling: Pooling = "mean",
    enough: threading.Event | None = None,
) -> Float[np.ndarray, "N D"]:
    """The vectors behind the last layer of each sequence of ids, made one, of length one; float32 [N, D].

    The engine's requests go on between the pieces that are read; nothing comes back once `enough` is set.
    ConfigError for the first token's vector of a model that reads from left to right: it has seen nothing.
    """
    if pooling not in get_args(Pooling):
        raise ConfigError(f"pooling {pooling!r}: expected one of {', '.join(get_args(Pooling))}")
    whole = reads_whole(engine.runtime)
    if pooling == "first" and not whole:
        raise ConfigError(
            "pooling 'first': this model reads from left to right, so its first token knows nothing"
        )
    found: list[Any] = [None] * len(sequences)
    enough = enough or threading.Event()
    read = _whole(engine, sequences, adapter, pooling) if whole else _in_pieces(engine, sequences, adapter)
    for number, vector_D in read:
        if enough.is_set():
            return np.zeros((0, 0), np.float32)
        found[number] = vector_D if vector_D is not None else found[number]
    if not found:
        return np.zeros((0, 0), np.float32)
    vectors_ND = np.stack(found).astype(np.float32)
    check_numbers(vectors_ND)
    length_N1 = np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12)
    normed_ND: np.ndarray = (vectors_ND / length_N1).astype(np.float32)
    return normed_ND


def _in_pieces(
    engine: Engine, sequences: Sequence[Sequence[int]], adapter: str | None
) -> Iterator[tuple[int, np.ndarray | None]]:
    """The number and the mean vector of each sequence, None after each piece but the last."""
    for number, ids in enumerate(sequences):
        total_D: Any = 0.0
        with engine.lent(len(ids)) as blocks:
            for start in range(0, len(ids), PIECE_TOKENS):
                piece = ids[start : start + PIECE_TOKENS]
                with engine.turn:
                    vectors_TD = engine.runtime.hidden([Span(piece, start, blocks, "all", adapter)])
                total_D = total_D + vectors_TD.sum(0, dtype=np.float64)
                time.sleep(LET_PASS_SECONDS)
                last = start + PIECE_TOKENS >= len(ids)
                yield number, (total_D / len(ids)).astype(np.float32) if last else None


def _whole(
    engine: Engine, sequences: Sequence[Sequence[int]], adapter: str | None, pooling: Pooling
) -> Iterator[tuple[int, np.ndarray | None]]:
    """The same where texts can't be read in pieces: several of similar length at once."""
    for group in _groups([len(ids) for ids in sequences]):
        spans = [Span(sequences[number], 0, (), "all", adapter) for number in group]
        with engine.turn:
            vectors_RD = engine.runtime.hidden(spans)
        time.sleep(LET_PASS_SECONDS)
        ends = np.cumsum([len(span.ids) for span in spans])
        for number, own_TD in zip(group, np.split(vectors_RD, ends[:-1]), strict=True):
            yield number, own_TD[0] if pooling == "first" else own_TD.mean(0, dtype=np.float64)


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    group: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        if group and lengths[group[0]] * (len(group) + 1) > WHOLE_TOKENS:
            yield group
            group = []
        group.append(number)
    if group:
        yield group
