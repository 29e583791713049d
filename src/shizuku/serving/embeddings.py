"""POST /v1/embeddings: the mean of a text's vectors behind the final norm, of length one."""

import asyncio
import base64
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from shizuku.inference.runtime import Span
from shizuku.serving.asking import room_for
from shizuku.serving.completions import ids_of
from shizuku.serving.faults import ApiError, bad_value
from shizuku.serving.schemas import EmbeddingRequest
from shizuku.serving.served import ServedModel

MOST_INPUTS = 256
# A text is read in pieces of so many tokens, between which the engine goes on with its requests …
PIECE_TOKENS = 128
# … as a lock alone would often be had again by whoever has just let it go.
LET_PASS_SECONDS = 0.001


async def embed(body: EmbeddingRequest, model: ServedModel, seconds: float) -> dict[str, Any]:
    """The vectors, as numbers or as base64 of little-endian float32, as OpenAI's client asks for.

    ApiError 503 where it takes longer than `seconds`. When this is cancelled the work ends soon after.
    """
    prompts = await asyncio.to_thread(ids_of, body.input, model, "input")
    if len(prompts) > MOST_INPUTS:
        raise bad_value("input", f"{len(prompts)} inputs: at most {MOST_INPUTS} in one request")
    for prompt in prompts:
        room_for(model, prompt, 0, param="input")
    enough = threading.Event()
    try:
        async with asyncio.timeout(seconds), model.turns:
            vectors_BD = await asyncio.to_thread(_means, prompts, model, enough)
    except TimeoutError as error:
        raise ApiError(
            503, f"The vectors took longer than {seconds:g} seconds (--request-seconds).", code="timeout"
        ) from error
    finally:
        enough.set()
    if body.dimensions is not None and body.dimensions != vectors_BD.shape[1]:
        raise bad_value(
            "dimensions", f"this model's vectors have {vectors_BD.shape[1]} numbers; they can't be shortened"
        )
    vectors_BD = vectors_BD / np.maximum(np.linalg.norm(vectors_BD, axis=1, keepdims=True), 1e-12)
    tokens = sum(map(len, prompts))
    return {
        "object": "list",
        "model": model.name,
        "data": [
            {"object": "embedding", "index": n, "embedding": _written(vector_D, body.encoding_format)}
            for n, vector_D in enumerate(vectors_BD)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _means(prompts: Sequence[Sequence[int]], model: ServedModel, enough: threading.Event) -> np.ndarray:
    """Mean vector over each prompt's tokens, float32 [B, D]; nothing once `enough` is set."""
    means = []
    for ids in prompts:
        total_D: Any = 0.0
        with model.engine.lent(len(ids)) as blocks:
            for start in range(0, len(ids), PIECE_TOKENS):
                if enough.is_set():
                    return np.zeros((0, 0), np.float32)
                piece = ids[start : start + PIECE_TOKENS]
                with model.engine.turn:
                    vectors_TD = model.lm.runtime.hidden(
                        [Span(piece, start, blocks, "all", model.lm.adapter)]
                    )
                total_D = total_D + vectors_TD.sum(0, dtype=np.float64)
                time.sleep(LET_PASS_SECONDS)
        means.append((total_D / len(ids)).astype(np.float32))
    return np.stack(means)


def _written(vector_D: np.ndarray, form: str | None) -> str | list[float]:
    if form == "base64":
        return base64.b64encode(vector_D.astype("<f4").tobytes()).decode("ascii")
    return [float(value) for value in vector_D]
