"""The second part of a life: tokenizer and token shards, the choice of a size, and training."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from shizuku.checkpoints.memory import available_memory, readable
from shizuku.config import from_dict, to_dict
from shizuku.data.packing import PackedBatches, SomeOf, ValidationBatches
from shizuku.data.shards import ShardSet, write_shards
from shizuku.errors import ConfigError, VocabularySizeError
from shizuku.life.corpus import HELDOUT, TRAIN, documents_of
from shizuku.life.settings import LifeConfig
from shizuku.models.decoder import Decoder, DecoderConfig, initialise
from shizuku.progress import say
from shizuku.scaling.planning import TIMED_FIRST, Shape, make_plan
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.config import LoopConfig
from shizuku.training.cost import parameter_total, token_cost
from shizuku.training.loop import train
from shizuku.training.memory import estimate_memory
from shizuku.training.objectives import NextToken
from shizuku.training.speed import measure_speed

BASE, CHECKPOINT, TOKENIZER, SHARDS = "base", "model", "tokenizer", "shards"
"""The folders of a life; the base is what the text alone made, the checkpoint is tuned."""
HEAD_WIDTH = 32
TOKENS_PER_BATCH = 4096
TOKENIZER_SAMPLE_BYTES = 6_000_000
"""Text that the merges are counted on, from all over; more hardly changes a small vocabulary."""
VALIDATION_TOKENS, EVALUATIONS = 20_000, 5
SAFETY = 0.85
"""Share of the time left that is planned with: clocks change by a fifth or so while a model trains."""


def write_tokens(out: Path, vocab_size: int, wording: Sequence[str] = ()) -> dict[str, Any]:
    """Train the tokenizer on a sample of the training text, and write the token shards of both parts.

    `wording` is further text for the tokenizer alone.
    """
    data = out / "data"

    def trained(size: int) -> Tokenizer:
        return Tokenizer.train(itertools.chain(_sample(data / TRAIN), wording), size)

    try:
        tokenizer = trained(vocab_size)
    except VocabularySizeError as error:
        say(f"this text allows a vocabulary of {error.possible:,}, so that is taken, not {vocab_size:,}")
        tokenizer = trained(error.possible)
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
    """The plan: shape and tokens for the seconds left, with every candidate that was weighed.

    ConfigError for a window longer than the text, or too long for the memory.
    """
    _check_context(config, tokens)

    def measured(shape: Shape) -> float:
        return measure_speed(
            _decoder(shape, config, tokens), batch=rows_of_batch(config), context=config.context
        )

    plan = make_plan(
        seconds=max(seconds * SAFETY, 5.0),
        unique_tokens=tokens["train_tokens"],
        parameters=lambda shape: parameter_total(_decoder(shape, config, tokens)),
        flops_per_token=lambda shape: token_cost(_decoder(shape, config, tokens), config.context).training,
        measure=measured,
    )
    say(plan.explain())
    steps = max(plan.chosen.tokens // (rows_of_batch(config) * config.context), 10)
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
    """Train the planned model and leave it in `base/`; a killed run goes on from its last save."""
    tokenizer = Tokenizer.load(config.out / TOKENIZER)
    shards = ShardSet.open(config.out / SHARDS / "train", tokenizer=tokenizer)
    heldout = ShardSet.open(config.out / SHARDS / "heldout", tokenizer=tokenizer)
    model = Decoder(from_dict(DecoderConfig, plan["model"]))
    initialise(model, config.seed, zero_outputs=True)
    loop = LoopConfig(
        steps=plan["steps"],
        seed=config.seed,
        resume=True,
        evaluate_every=max(plan["steps"] // EVALUATIONS, 1),
        log_every=max(plan["steps"] // 200, 1),
        save_minutes=1.0,
        watts=config.watts,
        price_per_hour=config.price_per_hour,
    )
    result = train(
        model,
        NextToken(),
        batches(config, shards),
        loop,
        out=config.out / BASE,
        tokenizer=tokenizer,
        validation=SomeOf(
            ValidationBatches(heldout, context=config.context, batch_size=rows_of_batch(config)),
            VALIDATION_TOKENS,
        ),
    )
    return to_dict(result)


def batches(config: LifeConfig, shards: ShardSet) -> PackedBatches:
    """The training batches in their order, which depends on the seed alone."""
    return PackedBatches(shards, context=config.context, batch_size=rows_of_batch(config), seed=config.seed)


def _check_context(config: LifeConfig, tokens: dict[str, Any]) -> None:
    longest = tokens["train_tokens"] - 1
    if config.context > longest:
        raise ConfigError(f"--context {config.context}: the training text allows at most {longest}")
    with torch.device("meta"):
        timed = Decoder(_decoder(TIMED_FIRST, config, tokens))
    needed = estimate_memory(timed, LoopConfig(), rows_of_batch(config), config.context)
    if needed.total > available_memory():
        raise ConfigError(
            f"--context {config.context}: training would need {needed.explain()}; "
            f"{readable(available_memory())} are available: lower it"
        )


def rows_of_batch(config: LifeConfig) -> int:
    return max(TOKENS_PER_BATCH // config.context, 1)


def _decoder(shape: Shape, config: LifeConfig, tokens: dict[str, Any]) -> DecoderConfig:
    """A Qwen3-shaped decoder, which others open: RMS norms, SwiGLU, rotary positions, QK norms."""
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


def _sample(path: Path) -> Iterator[str]:
    """Every n-th document, so that about TOKENIZER_SAMPLE_BYTES are read from all over the text."""
    every = max(path.stat().st_size * 3 // TOKENIZER_SAMPLE_BYTES, 1)
    return (document.text for document in itertools.islice(documents_of(path), 0, None, every))
