"""A life that begins with a pretrained model: an adapter learns someone's own documents.

The base stays as it is; a low-rank adapter (LoRA) is trained on the documents' next tokens. Held-out
documents, in pieces of a few paragraphs, are scored before and after, the same pieces by the same windows,
so their difference has an interval over pieces.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shizuku.checkpoints.names import resolve
from shizuku.config import to_dict
from shizuku.data.packing import PackedBatches
from shizuku.data.shards import write_shards
from shizuku.data.splitting import BORDERS
from shizuku.evaluation.bootstrap import bootstrap_ratio
from shizuku.evaluation.perplexity import evaluate_text
from shizuku.language_model import LanguageModel, load
from shizuku.life.corpus import HELDOUT, TRAIN, documents_of
from shizuku.life.making import CHECKPOINT, SHARDS
from shizuku.life.settings import LifeConfig
from shizuku.progress import say
from shizuku.training.config import LoopConfig
from shizuku.training.loop import train
from shizuku.training.objectives import NextToken
from shizuku.tuning.base import open_base, put_adapter
from shizuku.tuning.config import ADAPTER_RATE, tuning_loop

TOKENS_PER_BATCH = 1024
"""Four rows of the usual window: a large base learns more from many small steps than from few large ones."""
PIECE_CHARACTERS = 2000
PROMPTS, PROMPT_TOKENS, SAMPLE_TOKENS = 3, 24, 48
BITS = 1.4426950408889634


def pieces_of(texts: Sequence[str], size: int = PIECE_CHARACTERS) -> list[str]:
    """The texts in pieces of about `size` characters, cut between paragraphs, lines or sentences."""
    pieces = []
    for text in texts:
        while len(text) > size:
            cuts = (_last_border(text[:size], border) for border in BORDERS)
            cut = next((at for at in cuts if at), size)
            pieces.append(text[:cut])
            text = text[cut:]
        pieces.append(text)
    return [piece for piece in pieces if piece.strip()]


def score_before(config: LifeConfig, *, seconds: float) -> dict[str, Any]:
    """Score held-out pieces by the base, as many as fit into the time, drawn from all over."""
    base = load(_path(config))
    pieces = pieces_of([document.text for document in documents_of(config.out / "data" / HELDOUT)])
    order = sorted(range(len(pieces)), key=lambda number: (number * 0.6180339887498949) % 1.0)
    started, scored = time.monotonic(), []
    for number in order:
        scored.append({"piece": number, **_scored(base, config, pieces[number])})
        if time.monotonic() - started > seconds:
            break
    return {"pieces": scored, "of": len(pieces), **_bits(scored)}


def score_after(config: LifeConfig, before: dict[str, Any]) -> dict[str, Any]:
    """Score the same pieces by the adapted model; the change has an interval over pieces."""
    lm = load(config.out / CHECKPOINT)
    pieces = pieces_of([document.text for document in documents_of(config.out / "data" / HELDOUT)])
    scored = [
        {"piece": one["piece"], **_scored(lm, config, pieces[one["piece"]])} for one in before["pieces"]
    ]
    nats = [new["nats"] - old["nats"] for new, old in zip(scored, before["pieces"], strict=True)]
    change = bootstrap_ratio([n * BITS for n in nats], [one["bytes"] for one in scored])
    return {"pieces": scored, **_bits(scored), "change": to_dict(change)}


def adapt(config: LifeConfig, *, seconds: float) -> dict[str, Any]:
    """Train the adapter for about `seconds` and leave it in `model/`; a killed run goes on from its save."""
    assert config.pretrained is not None, "the caller has checked it"
    found = open_base(config.pretrained)
    put_adapter(found.model, config.lora, found, seed=config.seed)
    started = time.monotonic()
    shards = write_shards(documents_of(config.out / "data" / TRAIN), found.tokenizer, config.out / SHARDS)
    context = window_of(config, found.model.config.context)
    source = PackedBatches(
        shards, context=context, batch_size=max(TOKENS_PER_BATCH // context, 1), seed=config.seed
    )
    usual = tuning_loop()
    loop = LoopConfig(
        max_seconds=max(seconds - (time.monotonic() - started), 1.0),
        seed=config.seed,
        resume=True,
        log_every=1,
        save_minutes=1.0,
        optimizer=replace(usual.optimizer, learning_rate=ADAPTER_RATE),
        schedule=usual.schedule,
    )
    result = train(
        found.model, NextToken(), source, loop, out=config.out / CHECKPOINT, tokenizer=found.tokenizer
    )
    moving = sum(one.numel() for one in found.model.parameters() if one.requires_grad)
    say(f"{result.tokens_seen:,} of {shards.tokens:,} tokens read by an adapter of {moving:,} parameters")
    return {
        **to_dict(result),
        "parameters": sum(one.numel() for one in found.model.parameters()) - moving,
        "trained_parameters": moving,
        "text_tokens": shards.tokens,
    }


def continue_openings(config: LifeConfig) -> dict[str, Any]:
    """How the base and the adapted model go on from the beginnings of held-out documents (most probable)."""
    documents = list(documents_of(config.out / "data" / HELDOUT))
    every = max(len(documents) // PROMPTS, 1)
    written = {}
    prompts: list[str] = []
    for name, model in (("base", _path(config)), ("adapted", config.out / CHECKPOINT)):
        lm = load(model)
        prompts = [
            lm.tokenizer.decode(lm.tokenizer.encode(document.text[:400])[:PROMPT_TOKENS]).rstrip("\ufffd ")
            for document in documents[::every][:PROMPTS]
        ]
        written[name] = lm.generate(prompts, max_new_tokens=SAMPLE_TOKENS, temperature=0.0)
    samples = [
        {"prompt": prompt, "base": old, "adapted": new}
        for prompt, old, new in zip(prompts, written["base"], written["adapted"], strict=True)
    ]
    return {"samples": samples, "first": samples[0]["adapted"]}


def window_of(config: LifeConfig, longest: int) -> int:
    """The window of training and scoring: as asked, as far as the base's goes."""
    return min(config.context, longest)


def _path(config: LifeConfig) -> Path:
    assert config.pretrained is not None, "the caller has checked it"
    return resolve(config.pretrained)


def _scored(lm: LanguageModel, config: LifeConfig, piece: str) -> dict[str, Any]:
    window = window_of(config, lm.context)
    found = evaluate_text(lm, [piece], window=window, stride=window // 2)
    return {"nats": found.nats, "bytes": found.bytes}


def _bits(scored: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found = bootstrap_ratio([one["nats"] * BITS for one in scored], [one["bytes"] for one in scored])
    return {"bits_per_byte": to_dict(found), "bytes": sum(one["bytes"] for one in scored)}


def _last_border(text: str, border: Any) -> int:
    """Where the text's last border ends; 0 without one, or where it would leave less than half of it."""
    ends = [match.end() for match in border.finditer(text)]
    return ends[-1] if ends and ends[-1] >= len(text) // 2 else 0
