"""From a request's fields to what the engine is asked: settings, processors, limits."""

import os
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from shizuku.inference.requests import Processor, Request
from shizuku.inference.settings import GenerationSettings
from shizuku.language_model import OnlyTokens
from shizuku.serving.faults import ApiError, bad_value
from shizuku.serving.schemas import GenerationBody
from shizuku.serving.served import ServedModel

MOST_STOPS = 16
# OpenAI allows top_p 0, which keeps one token; the sampler wants a number above 0.
LEAST_TOP_P = 1e-9
# Below this the best token is as good as certain, and divided logits leave float32.
LEAST_TEMPERATURE = 1e-5


def stops_of(body: GenerationBody) -> tuple[str, ...]:
    """The stop strings; ApiError for an empty one, or too many."""
    given = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if len(given) > MOST_STOPS:
        raise bad_value("stop", f"{len(given)} stop strings: at most {MOST_STOPS}")
    if not all(given):
        raise bad_value("stop", "a stop string is empty, so it would end every text at once")
    return given


def settings_of(body: GenerationBody, model: ServedModel, new_tokens: int) -> GenerationSettings:
    """How tokens are chosen.

    What the request leaves out comes from the checkpoint's generation_config.json where that one samples,
    and else from OpenAI's API (temperature 1, nothing cut off); without `seed` every answer draws anew.
    """
    asked: dict[str, object] = {} if model.lm.generation.get("do_sample") else {"temperature": 1.0}
    for name in ("temperature", "min_p", "repetition_penalty"):
        if getattr(body, name) is not None:
            asked[name] = float(getattr(body, name))
    if body.temperature is not None and body.temperature < LEAST_TEMPERATURE:
        asked["temperature"] = 0.0
    if body.top_p is not None:
        asked["top_p"] = max(float(body.top_p), LEAST_TOP_P)
    if body.top_k is not None:
        asked["top_k"] = body.top_k if body.top_k > 0 else None
    seed = int.from_bytes(os.urandom(7), "big") if body.seed is None else body.seed % 2**63
    return model.lm.settings(**asked, seed=seed, max_new_tokens=new_tokens)


def processors_of(body: GenerationBody, model: ServedModel, prompt_tokens: int) -> list[Processor]:
    """What changes the logits: biases, then penalties on what was made so far (the prompt not counted)."""
    processors: list[Processor] = []
    known = model.tokenizer.vocab_size
    if model.lm.runtime.vocab_size > known:
        processors.append(OnlyTokens(known))
    if body.logit_bias:
        processors.append(_biased(_bias_ids(body.logit_bias, known)))
    if body.presence_penalty or body.frequency_penalty:
        penalties = (body.presence_penalty or 0.0, body.frequency_penalty or 0.0)
        processors.append(_penalised(prompt_tokens, *penalties))
    return processors


def room_for(model: ServedModel, prompt: Sequence[int], asked: int | None, *, param: str) -> int:
    """How many tokens may be made behind a prompt: at most `asked`, at most what the window has room for.

    ApiError for a prompt that leaves no room, unless none is asked for, or that has ids outside.
    """
    if not prompt:
        raise bad_value(param, "the prompt is empty: give at least one token")
    known = model.tokenizer.vocab_size
    if max(prompt) >= known:
        raise bad_value(param, f"token id {max(prompt)} is not one of the model's 0 to {known - 1}")
    room = model.context - len(prompt)
    if room < (0 if asked == 0 else 1):
        raise ApiError(
            400,
            f"This model's maximum context length is {model.context} tokens, but the prompt has "
            f"{len(prompt)}. Shorten it.",
            param=param,
            code="context_length_exceeded",
        )
    return room if asked is None else min(asked, room)


def requests_for(
    body: GenerationBody,
    model: ServedModel,
    prompt: Sequence[int],
    new_tokens: int,
    *,
    client: str,
    first_index: int = 0,
    logprobs: int | None = None,
    prompt_logprobs: bool = False,
    constraint: Callable[[], Processor] | None = None,
) -> list[Request]:
    """`n` requests for one prompt, numbered from `first_index`; `constraint` makes a processor for each."""
    settings = settings_of(body, model, new_tokens)
    processors = processors_of(body, model, len(prompt))
    return [
        Request(
            ids=prompt,
            settings=settings,
            stop_ids=model.tokenizer.stop_ids,
            processors=processors if constraint is None else [*processors, constraint()],
            logprobs=logprobs,
            prompt_logprobs=prompt_logprobs,
            index=first_index + number,
            adapter=model.lm.adapter,
            client=body.user or client,
        )
        for number in range(body.n or 1)
    ]


def check_stream(body: GenerationBody) -> None:
    """ApiError for stream options without a stream."""
    if body.stream_options is not None and not body.stream:
        raise bad_value("stream_options", "`stream_options` is only for requests with `stream` true")


def _bias_ids(given: dict[str, float], known: int) -> dict[int, float]:
    biases = {}
    for key, value in given.items():
        token = int(key) if key.isascii() and key.isdigit() and len(key) < 12 else -1
        if not 0 <= token < known:
            raise bad_value("logit_bias", f"{key[:40]!r} is not one of the token ids 0 to {known - 1}")
        biases[token] = value
    return biases


def _biased(biases: dict[int, float]) -> Processor:
    tokens = np.fromiter(biases, dtype=np.int64)
    values = np.fromiter(biases.values(), dtype=np.float32)

    def process(ids: Sequence[int], logits_V: np.ndarray) -> np.ndarray:
        logits_V = logits_V.copy()
        logits_V[tokens] += values
        return logits_V

    return process


def _penalised(prompt_tokens: int, presence: float, frequency: float) -> Processor:
    def process(ids: Sequence[int], logits_V: np.ndarray) -> np.ndarray:
        made = Counter(ids[prompt_tokens:])
        if not made:
            return logits_V
        logits_V = logits_V.copy()
        tokens = np.fromiter(made, dtype=np.int64)
        counts = np.fromiter(made.values(), dtype=np.float32)
        logits_V[tokens] -= presence + frequency * counts
        return logits_V

    return process
