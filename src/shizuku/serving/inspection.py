"""What the web page shows beside the text: tokens, where a head looks, and live numbers."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

import psutil

from shizuku.errors import ModelError, TokenizerError
from shizuku.serving.faults import ApiError, bad_value
from shizuku.serving.messages import plain_messages, plain_tools
from shizuku.serving.schemas import AttentionRequest, DetokenizeRequest, TokenizeRequest
from shizuku.serving.served import Registry, ServedModel

if TYPE_CHECKING:
    from shizuku.serving.metrics import Metrics

MOST_ATTENTION_TOKENS = 512
DIGITS = 6


async def tokenize(body: TokenizeRequest, model: ServedModel) -> dict[str, Any]:
    """Ids and spellings of a text (nothing added), or of a conversation as the model reads it."""
    ids = await asyncio.to_thread(_ids, body, model)
    return {"model": model.name, "tokens": ids, "count": len(ids), "pieces": pieces(model, ids)}


async def detokenize(body: DetokenizeRequest, model: ServedModel) -> dict[str, Any]:
    """The text that ids write."""
    try:
        text = await asyncio.to_thread(model.tokenizer.decode, body.tokens)
    except TokenizerError as error:
        raise bad_value("tokens", str(error)) from error
    return {"model": model.name, "text": text, "prompt": text}


def tokenizer_info(model: ServedModel) -> dict[str, Any]:
    """What lm-evaluation-harness asks (as of vLLM) to do without a tokenizer of its own."""
    special = model.tokenizer.special
    return {
        "model": model.name,
        "eos_token": special.eos,
        "bos_token": special.bos,
        "pad_token": special.pad,
        "chat_template": model.tokenizer.chat_template,
    }


async def attention(body: AttentionRequest, model: ServedModel) -> dict[str, Any]:
    """How much each token (row) looks at each token before it (column), in one head of one layer.

    `weights` is [T][T], rows sum to 1. The model is run openly in float32 for it (see `models/hooks.py`).
    """
    ids = await asyncio.to_thread(_ids, body, model)
    if not 1 <= len(ids) <= min(MOST_ATTENTION_TOKENS, model.context):
        raise ApiError(
            400,
            f"{len(ids)} tokens: the map is made for 1 to {min(MOST_ATTENTION_TOKENS, model.context)}",
            code="too_many_tokens",
        )
    if max(ids) >= model.tokenizer.vocab_size:
        raise bad_value("tokens", f"token id {max(ids)} is not in the vocabulary")
    async with model.turns:
        layers, heads, weights = await asyncio.to_thread(_pattern, body, model, ids)
    return {
        "model": model.name,
        "tokens": pieces(model, ids),
        "bytes": [list(model.tokenizer.token_bytes(token)) for token in ids],
        "ids": ids,
        "layer": body.layer,
        "head": body.head,
        "layers": layers,
        "heads": heads,
        "weights": weights,
    }


def status(registry: Registry, metrics: "Metrics") -> dict[str, Any]:
    """Live numbers: what runs, what waits, tokens a second over the last seconds, memory."""
    models: list[dict[str, Any]] = []
    loads = {model.name: model.engine.statistics() for model in registry.bases()}
    for model in registry:
        load = loads[model.parent or model.name]
        models.append(
            {
                "id": model.name,
                "running": load.running,
                "waiting": load.waiting,
                "cache_blocks_used": load.blocks_used,
                "cache_blocks": load.blocks_most,
                "cache_blocks_reusable": load.blocks_cached,
                **({} if model.parent is None else {"parent": model.parent}),
                **metrics.speeds(model.name),
            }
        )
    memory = psutil.Process().memory_info().rss
    return {
        "time": time.time(),
        "uptime_seconds": round(metrics.uptime(), 3),
        "memory_bytes": memory,
        "running": sum(load.running for load in loads.values()),
        "waiting": sum(load.waiting for load in loads.values()),
        "tokens_per_second": round(sum(model["tokens_per_second"] for model in models), 2),
        "models": models,
    }


def pieces(model: ServedModel, ids: list[int]) -> list[str]:
    """Each token's own spelling; bytes that are no whole character show as U+FFFD."""
    return [model.tokenizer.token_bytes(token).decode("utf-8", errors="replace") for token in ids]


def _ids(body: TokenizeRequest | AttentionRequest, model: ServedModel) -> list[int]:
    forms = ("text", "prompt", "messages", "tokens")
    if len([name for name in forms if getattr(body, name, None) is not None]) != 1:
        raise bad_value("text", "give either `text` or `messages`")
    if isinstance(body, AttentionRequest) and body.tokens is not None:
        return list(body.tokens)
    try:
        if isinstance(body, TokenizeRequest) and body.prompt is not None:
            ids = model.tokenizer.encode(body.prompt, control=True)
            if body.add_special_tokens is False:
                return ids
            whole = model.lm.prompt_ids(body.prompt)
            return [*whole[: len(whole) - len(model.tokenizer.encode(body.prompt))], *ids]
        if body.text is not None:
            return model.tokenizer.encode(body.text)
        tools = plain_tools(getattr(body, "tools", None))
        messages = body.messages or []
        ends = messages[-1:] != [] and messages[-1].role == "assistant"
        return model.tokenizer.encode_chat(
            plain_messages(messages), tools=tools, add_generation_prompt=not ends
        )
    except TokenizerError as error:
        raise bad_value("messages" if body.text is None else "text", str(error)) from error


def _pattern(
    body: AttentionRequest, model: ServedModel, ids: list[int]
) -> tuple[int, int, list[list[float]]]:
    from shizuku.interpretability.maps import attention_maps, pattern_names

    decoder = model.lm.model
    try:
        layers = len(pattern_names(decoder))
    except ModelError as error:
        raise bad_value("model", str(error)) from error
    heads = decoder.config.heads
    for name, value, count in (("layer", body.layer, layers), ("head", body.head, heads)):
        if value >= count:
            raise bad_value(name, f"this model has {name}s 0 to {count - 1}")
    pattern_TS = attention_maps(decoder, ids, layers=[body.layer], heads=[body.head])[0, 0]
    return layers, heads, [[round(value, DIGITS) for value in row] for row in pattern_TS.tolist()]
