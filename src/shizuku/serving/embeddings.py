"""POST /v1/embeddings: one vector for each text, of length one, as `LanguageModel.embed` makes it."""

import asyncio
import base64
import threading
from functools import partial
from typing import Any

import numpy as np

from shizuku.checkpoints.pooling import declared_pooling
from shizuku.inference.embedding import ids_to_embed, text_vectors
from shizuku.serving.asking import room_for
from shizuku.serving.completions import ids_of
from shizuku.serving.faults import ApiError, bad_value
from shizuku.serving.schemas import EmbeddingRequest
from shizuku.serving.served import ServedModel

MOST_INPUTS = 256


async def embed(body: EmbeddingRequest, model: ServedModel, seconds: float) -> dict[str, Any]:
    """The vectors, as numbers or as base64 of little-endian float32, as OpenAI's client asks for.

    ApiError 503 where it takes longer than `seconds`. When this is cancelled the work ends soon after.
    """
    encode = partial(ids_to_embed, model.engine, model.tokenizer)
    prompts = await asyncio.to_thread(ids_of, body.input, model, "input", encode)
    if len(prompts) > MOST_INPUTS:
        raise bad_value("input", f"{len(prompts)} inputs: at most {MOST_INPUTS} in one request")
    for prompt in prompts:
        room_for(model, prompt, 0, param="input")
    enough = threading.Event()
    try:
        async with asyncio.timeout(seconds), model.turns:
            vectors_BD = await asyncio.to_thread(
                text_vectors,
                model.engine,
                prompts,
                adapter=model.lm.adapter,
                pooling=declared_pooling(model.lm.path),
                enough=enough,
            )
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


def _written(vector_D: np.ndarray, form: str | None) -> str | list[float]:
    if form == "base64":
        return base64.b64encode(vector_D.astype("<f4").tobytes()).decode("ascii")
    return [float(value) for value in vector_D]
