"""The second part of a life: tokenizer and token shards, the choice of a size, and training."""

import itertools
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from shizuku.config import to_dict
from shizuku.data.packing import PackedBatches, ValidationBatches
from shizuku.data.shards import ShardSet, write_shards
from shizuku.life.corpus import HELDOUT, TRAIN, documents_of
from shizuku.life.settings import LifeConfig
from shizuku.models.decoder import Decoder, DecoderConfig, initialise, parameter_count
from shizuku.progress import say
from shizuku.scaling.planning import Shape, make_plan
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.cost import flops_per_token
from shizuku.training.loop import LoopConfig, TrainingConfig, train
from shizuku.training.objectives import NextToken
from shizuku.training.speed import measure_speed

CHECKPOINT, TOKENIZER, SHARDS = "model", "tokenizer", "shards"
HEAD_WIDTH = 32
TOKENS_PER_BATCH = 8192
TOKENIZER_SAMPLE_BYTES = 6_000_000
"""Text that the merges are counted on, taken evenly from the whole; more hardly changes a small vocabulary."""
VALIDATION_TOKENS = 40_000


def write_tokens(out: Path, vocab_size: int) -> dict[str, Any]:
    """Train the tokenizer on a sample of the training text and write the token shards of both parts."""
    data = out / "data"
    tokenizer = Tokenizer.train(_sample(data / TRAIN), vocab_size)
    (out / TOKENIZER).mkdir(exist_ok=True)
    tokenizer.save(out / TOKENIZER)
    train_shards = write_shards(documents_of(data / TRAIN), tokenizer, out / SHARDS / "train")
    heldout_shards = write_shards(documents_of(data / HELDOUT), tokenizer, out / SHARDS / "heldout")
    return {
        "vocab_size": tokenizer.vocab_size,
        "train_tokens": train_shards.tokens,
        "heldout_tokens": heldout_shards.tokens,
        "bytes_per_token": train_shards.text_bytes / train_shards.tokens,
    }


def choose_size(config: LifeConfig, tokens: dict[str, Any], *, seconds: float) -> dict[str, Any]:
    """The plan: shape and tokens for the seconds left, each candidate weighed, speed measured on this machine."""

    def measured(shape: Shape) -> float:
        return measure_speed(_decoder(shape, config, tokens), batch=_rows(config), context=config.context)

    plan = make_plan(
        seconds=max(seconds, 5.0),
        unique_tokens=tokens["train_tokens"],
        parameters=lambda shape: _count(_decoder(shape, config, tokens)),
        flops_per_token=lambda shape: flops_per_token(_decoder(shape, config, tokens), context=config.context),
        measure=measured,
    )
    say(plan.explain())
    steps = max(plan.chosen.tokens // (_rows(config) * config.context), 10)
    return {
        "layers": plan.chosen.shape.layers,
        "width": plan.chosen.shape.width,
        "parameters": plan.chosen.parameters,
        "steps": steps,
        "seconds": plan.seconds,
        "explanation": plan.explain(),
        "law": plan.law,
        "candidates": [{**to_dict(c), "shape": c.shape.name} for c in plan.candidates],
        "model": to_dict(_decoder(plan.chosen.shape, config, tokens)),
    }


def train_model(config: LifeConfig, plan: dict[str, Any]) -> dict[str, Any]:
    """Train the planned model and leave it in `model/`; a killed run goes on from its last save."""
    tokenizer = Tokenizer.load(config.out / TOKENIZER)
    shards = ShardSet.open(config.out / SHARDS / "train", tokenizer=tokenizer)
    heldout = ShardSet.open(config.out / SHARDS / "heldout", tokenizer=tokenizer)
    model = Decoder(DecoderConfig(**plan["model"]))
    initialise(model, config.seed)
    result = train(
        model,
        NextToken(),
        batches(config, shards),
        TrainingConfig(loop=LoopConfig(steps=plan["steps"], resume=True)),
        out=config.out / CHECKPOINT,
        tokenizer=tokenizer,
        validation=_Head(ValidationBatches(heldout, context=config.context, batch_size=_rows(config))),
    )
    return {**to_dict(result)}


def batches(config: LifeConfig, shards: ShardSet) -> PackedBatches:
    """The training batches in their order, which depends on the seed alone."""
    return PackedBatches(shards, context=config.context, batch_size=_rows(config), seed=config.seed)


def _rows(config: LifeConfig) -> int:
    return max(TOKENS_PER_BATCH // config.context, 1)


def _decoder(shape: Shape, config: LifeConfig, tokens: dict[str, Any]) -> DecoderConfig:
    """A Qwen3-shaped decoder, so that others open it: RMS norms, SwiGLU, rotary positions, query and key norms."""
    return DecoderConfig(
        vocab_size=tokens["vocab_size"],
        context=config.context,
        width=shape.width,
        layers=shape.layers,
        heads=max(shape.width // (HEAD_WIDTH if shape.width < 256 else 64), 1),
        head_width=HEAD_WIDTH if shape.width < 256 else 64,
        ffn_width=-(-shape.width * 8 // 3 // 32) * 32,
        qk_norm=True,
        tie_embeddings=True,
    )


@lru_cache(maxsize=64)
def _count(config: DecoderConfig) -> int:
    with torch.device("meta"):
        return parameter_count(Decoder(config))


def _sample(path: Path) -> Iterator[str]:
    """Every n-th document, so that about TOKENIZER_SAMPLE_BYTES are read from all over the text."""
    every = max(path.stat().st_size * 3 // TOKENIZER_SAMPLE_BYTES, 1)
    return (document.text for document in itertools.islice(documents_of(path), 0, None, every))
