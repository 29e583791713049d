"""How far a model has gone from its reference, measured on answers that it draws itself.

Legend: `B` rows, `T` tokens, `N` tokens of answers, `V` vocabulary.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shizuku.adapters.surgery import disabled
from shizuku.inference.generation import Generation
from shizuku.language_model import LanguageModel
from shizuku.models.decoder import Decoder
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.cross_entropy import chunk_tokens
from shizuku.tuning.pairs import PreferencePair

AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Drawn:
    """An answer that a model drew."""

    prompt_ids: list[int]
    """The prompt as the model read it."""
    ids: list[int]
    """The answer, with the token that ended it, if one did."""
    text: str
    """The answer as people read it."""
    stopped: bool
    """Whether it ended by itself, before the limit of tokens."""


def draw_answers(
    model: Decoder, tokenizer: Tokenizer, pairs: Sequence[PreferencePair], *, max_new_tokens: int,
    temperature: float = 1.0, seed: int = 0,
) -> list[Drawn]:  # fmt: skip
    """An answer to each pair's prompt, drawn from the model itself: no top-k, top-p or penalty.

    Draws depend on the seed and the pair's place alone. Prompts must leave room for `max_new_tokens`. The
    model is left in the mode that it was in.
    """
    training = model.training
    model.eval()
    try:
        lm = LanguageModel(model, tokenizer)
        prompts = [tokenizer.encode_chat(list(pair.prompt), tools=list(pair.tools) or None) for pair in pairs]
        requests = [
            lm.request(ids, index=index, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
            for index, ids in enumerate(prompts)
        ]
        made: list[list[int]] = [[] for _ in prompts]
        stopped = [False] * len(prompts)
        for step in Generation(lm.engine, requests, at_once=AT_ONCE):
            made[step.index].append(step.token_id)
            stopped[step.index] |= step.finish == "stop"
        return [
            Drawn(list(prompt), ids, tokenizer.decode(ids[:-1] if stop else ids), stop)
            for prompt, ids, stop in zip(prompts, made, stopped, strict=True)
        ]
    finally:
        model.train(training)


@torch.no_grad()
def divergences(model: nn.Module, reference: nn.Module | None, answers: Sequence[Drawn]) -> np.ndarray:
    """KL(model ‖ reference) in nats for each answer: the sum over its tokens of that of the next token.

    Without a reference it is the model with its adapters switched off.
    Over answers that the model drew, the mean of these sums estimates the divergence of whole answers (up to
    their limit of tokens), as that of log-ratios does, with less scatter and never below 0.
    """
    sums = []
    switched, other = (disabled, model) if reference is None else (nullcontext, reference)
    for answer in answers:
        ids = torch.tensor([[*answer.prompt_ids, *answer.ids]], device=next(model.parameters()).device)
        first = len(answer.prompt_ids) - 1
        x_ND = model.hidden(ids[:, :-1])[0, first:]  # type: ignore[operator]
        with switched(model):
            other_ND = other.hidden(ids[:, :-1])[0, first:]  # type: ignore[operator]
        sums.append(float(_summed(model, other, x_ND, other_ND)))
    return np.array(sums)


def _summed(model: Any, reference: Any, x_ND: Tensor, other_ND: Tensor) -> Tensor:
    size = chunk_tokens(model.config.vocab_size, 8)
    total = x_ND.new_zeros((), dtype=torch.float64)
    for here_CD, there_CD in zip(x_ND.split(size), other_ND.split(size), strict=True):
        logp_CV, logq_CV = (
            torch.log_softmax(one.unembed(x).double(), dim=-1)
            for one, x in ((model, here_CD), (reference, there_CD))
        )
        total += (logp_CV.exp() * (logp_CV - logq_CV)).sum()
    return total
