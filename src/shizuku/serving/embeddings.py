"""POST /v1/embeddings: the mean of a text's vectors behind the final norm, of length one."""

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from shizuku.inference.scoring import whole_vectors
from shizuku.serving.asking import room_for
from shizuku.serving.completions import ids_of
from shizuku.serving.faults import bad_value
from shizuku.serving.schemas import EmbeddingRequest
from shizuku.serving.served import ServedModel

MOST_INPUTS = 256


async def embed(body: EmbeddingRequest, model: ServedModel) -> dict[str, Any]:
    """The vectors, as numbers or as base64 of little-endian float32, as OpenAI's client asks for."""
    prompts = await asyncio.to_thread(ids_of, body.input, model, "input")
    if len(prompts) > MOST_INPUTS:
        raise bad_value("input", f"{len(prompts)} inputs: at most {MOST_INPUTS} in one request")
    for prompt in prompts:
        room_for(model, prompt, 0, param="input")
    vectors_BD = await asyncio.to_thread(_means, prompts, model)
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


def _means(prompts: Sequence[Sequence[int]], model: ServedModel) -> np.ndarray:
    """Mean vector over each prompt's tokens, float32 [B, D]; between prompts the engine may go on."""
    return np.stack([whole_vectors(model.engine, ids).mean(0) for ids in prompts])


def _written(vector_D: np.ndarray, form: str | None) -> str | list[float]:
    if form == "base64":
        return base64.b64encode(vector_D.astype("<f4").tobytes()).decode("ascii")
    return [float(value) for value in vector_D]
