"""Engines on small random models, for tests of the engine."""

import random
from typing import Any

import torch

from shizuku.inference.engine import Engine, EngineSettings, Request, Step, Ticket
from shizuku.inference.generation import with_limit
from shizuku.inference.sampling import SamplingConfig
from shizuku.inference.torch_runtime import TorchRuntime
from shizuku.models.decoder import Decoder
from tiny_language_model import tiny_model

VOCABULARY = 97
GREEDY = SamplingConfig(temperature=0.0)
SAMPLED = SamplingConfig(temperature=1.0, top_p=0.95, seed=11)


def micro(*, context: int = 256, seed: int = 0) -> Decoder:
    """A decoder of two narrow layers."""
    return tiny_model(VOCABULARY, context=context, seed=seed, gain=1.5)


def engine_on(model: Decoder, *, block_tokens: int = 8, **settings: int) -> Engine:
    return Engine(TorchRuntime(model, block_tokens=block_tokens), EngineSettings(**settings))


def asked(ids: list[int], new: int = 8, *, sampling: SamplingConfig = GREEDY, **rest: Any) -> Request:
    return Request(ids=ids, settings=with_limit(sampling, new), **rest)


def words(count: int, seed: int = 0) -> list[int]:
    dice = random.Random(seed)
    return [dice.randrange(VOCABULARY) for _ in range(count)]


def tokens(steps: "list[Step] | Ticket") -> list[int]:
    return [step.token_id for step in steps if not step.prompt]


def naive(model: Decoder, ids: list[int], new: int) -> list[int]:
    """Greedy decoding that reads the whole sequence again for each token."""
    whole = list(ids)
    for _ in range(new):
        with torch.no_grad():
            whole.append(int(model(torch.tensor([whole]))[0, -1].argmax()))
    return whole[len(ids) :]


def nothing_is_held(engine: Engine) -> bool:
    """Whether every block is free or kept for reuse, and nobody is here."""
    now = engine.statistics()
    return (now.running, now.waiting, now.blocks_used) == (0, 0, 0)
