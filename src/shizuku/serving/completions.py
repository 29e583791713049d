"""POST /v1/completions."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from shizuku.errors import ModelError, TokenizerError
from shizuku.inference.requests import Request, Step
from shizuku.serving.answering import Answering
from shizuku.serving.asking import check_stream, requests_for, room_for, stops_of
from shizuku.serving.choices import Choice, Piece
from shizuku.serving.faults import bad_value
from shizuku.serving.logprobs import completion_columns
from shizuku.serving.schemas import CompletionRequest
from shizuku.serving.served import ServedModel
from shizuku.serving.settings import ServerSettings

DEFAULT_TOKENS = 16


@dataclass(slots=True)
class Completion:
    """One completion request on its way."""

    body: CompletionRequest
    answering: Answering
    echoed: list[Piece]
    """The prompt's own text for each choice, where it is echoed without log-probabilities."""

    @property
    def head(self) -> dict[str, Any]:
        """The fields that every chunk and the whole answer begin with."""
        answering = self.answering
        return {
            "id": f"cmpl-{answering.id}",
            "object": "text_completion",
            "created": answering.created,
            "model": answering.model.name,
        }

    async def whole(self) -> dict[str, Any]:
        """The answer as one object."""
        pieces = await self.answering.wholes()
        choices = []
        for number, piece in enumerate(pieces):
            piece.text = self.echoed[number].text + piece.text
            choices.append(self._choice(number, piece))
        return {**self.head, "choices": choices, "usage": self.answering.usage()}

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """The answer in pieces."""
        options = self.body.stream_options
        usage = {"usage": None} if options and options.include_usage else {}
        head = {**self.head, **usage}
        for number, piece in enumerate(self.echoed):
            if piece.text:
                yield {**head, "choices": [self._choice(number, piece)]}
        async for number, piece in self.answering.pieces():
            yield {**head, "choices": [self._choice(number, piece)]}
        if usage:
            yield {**head, "choices": [], "usage": self.answering.usage()}

    def _choice(self, number: int, piece: Piece) -> dict[str, Any]:
        logprobs = None
        if self.body.logprobs is not None:
            tokenizer = self.answering.model.tokenizer
            logprobs = completion_columns(tokenizer, piece.steps, piece.offsets, self.body.logprobs)
        return {
            "index": number,
            "text": piece.text,
            "logprobs": logprobs,
            "finish_reason": piece.finish or None,
        }


async def prepare_completion(
    body: CompletionRequest, model: ServedModel, settings: ServerSettings, client: str
) -> Completion:
    """Everything up to the engine; ApiError for what can't be done."""
    check_stream(body)
    stop = stops_of(body)
    prompts = await asyncio.to_thread(ids_of, body.prompt, model, "prompt")
    if len(prompts) * (body.n or 1) > settings.max_choices:
        raise bad_value(
            "prompt", f"{len(prompts)} prompts times n: at most {settings.max_choices} (--max-choices)"
        )
    asked = DEFAULT_TOKENS if body.max_tokens is None else body.max_tokens
    if asked == 0 and not body.echo:
        raise bad_value("max_tokens", "0 is only for `echo` true: otherwise nothing would be answered")
    requests: list[Request] = []
    choices: list[Choice] = []
    echoed: list[Piece] = []
    scored = body.echo and body.logprobs is not None
    for prompt in prompts:
        own = requests_for(
            body,
            model,
            prompt,
            room_for(model, prompt, asked, param="prompt"),
            client=client,
            first_index=len(requests),
            logprobs=body.logprobs,
            prompt_logprobs=bool(scored),
        )
        for request in own:
            choice = Choice(model.tokenizer, stop, begins=bool(body.echo), give_stop_token=True)
            echo = Piece()
            if body.echo and not scored:
                echo.text = "".join(
                    choice.push(Step(request.index, token, None, prompt=True)).text for token in prompt
                )
            requests.append(request)
            choices.append(choice)
            echoed.append(echo)
    tokens = sum(map(len, prompts))
    return Completion(body, Answering(model, requests, choices, settings.request_seconds, tokens), echoed)


def ids_of(
    given: str | list[Any],
    model: ServedModel,
    param: str,
    encode: Callable[[str], list[int]] | None = None,
) -> list[list[int]]:
    """Token ids of each text, from any of the four forms: one or several, as strings or as ids.

    Strings are read as prompts, if not by `encode`.
    """
    encode = encode or model.lm.prompt_ids
    if isinstance(given, str) or (given and isinstance(given[0], int)):
        given = [given]
    if not given:
        raise bad_value(param, "the list is empty")
    try:
        return [encode(one) if isinstance(one, str) else list(one) for one in given]
    except (ModelError, TokenizerError) as error:
        raise bad_value(param, str(error)) from error
