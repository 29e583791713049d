"""POST /v1/chat/completions."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shizuku.errors import ModelError, TokenizerError
from shizuku.serving.answering import Answering
from shizuku.serving.asking import check_stream, requests_for, room_for, stops_of
from shizuku.serving.choices import Choice, Piece
from shizuku.serving.faults import ApiError, bad_value, unsupported
from shizuku.serving.logprobs import chat_entries
from shizuku.serving.messages import plain_messages, plain_tools
from shizuku.serving.schemas import ChatRequest
from shizuku.serving.served import ServedModel
from shizuku.serving.settings import ServerSettings
from shizuku.text.conversation import ToolCall, fit_conversation, take_tool_calls


@dataclass(slots=True)
class Chat:
    """One chat request on its way."""

    body: ChatRequest
    answering: Answering
    tools: bool
    """Whether the answer may hold tool calls."""

    @property
    def head(self) -> dict[str, Any]:
        """The fields that every chunk and the whole answer begin with."""
        answering = self.answering
        return {"id": f"chatcmpl-{answering.id}", "created": answering.created, "model": answering.model.name}

    async def whole(self) -> dict[str, Any]:
        """The answer as one object."""
        pieces = await self.answering.wholes()
        return {
            **self.head,
            "object": "chat.completion",
            "choices": [self._choice(number, piece) for number, piece in enumerate(pieces)],
            "usage": self.answering.usage(),
        }

    def _choice(self, number: int, piece: Piece) -> dict[str, Any]:
        text, calls = self._split(piece.text)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if calls:
            message["tool_calls"] = [self._call(number, n, call) for n, call in enumerate(calls)]
            message["content"] = text or None
        finish = "tool_calls" if calls else piece.finish
        return {
            "index": number,
            "message": message,
            "logprobs": self._logprobs(piece),
            "finish_reason": finish,
        }

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """The answer in pieces."""
        options = self.body.stream_options
        usage = {"usage": None} if options and options.include_usage else {}
        head = {**self.head, "object": "chat.completion.chunk", **usage}
        for number in range(len(self.answering.choices)):
            yield {**head, "choices": [_delta(number, {"role": "assistant", "content": ""})]}
        held = [Piece() for _ in self.answering.choices]
        async for number, piece in self.answering.pieces():
            if self.tools:  # calls are told from text when all is there
                held[number].text += piece.text
                if not piece.finish:
                    continue
                piece.text, calls = self._split(held[number].text)
                if calls:
                    piece.finish = "tool_calls"
                    called = [{"index": n, **self._call(number, n, call)} for n, call in enumerate(calls)]
                    yield {**head, "choices": [_delta(number, {"tool_calls": called})]}
            delta = {"content": piece.text} if piece.text or not piece.finish else {}
            yield {
                **head,
                "choices": [_delta(number, delta, self._logprobs(piece), piece.finish or None)],
            }
        if usage:
            yield {**head, "choices": [], "usage": self.answering.usage()}

    def _split(self, text: str) -> tuple[str, Sequence[ToolCall]]:
        return take_tool_calls(text) if self.tools else (text, ())

    def _call(self, choice: int, number: int, call: ToolCall) -> dict[str, Any]:
        import json

        return {
            "id": f"call_{self.answering.id[:16]}_{choice}_{number}",
            "type": "function",
            "function": {
                "name": call.name,
                "arguments": json.dumps(dict(call.arguments), ensure_ascii=False),
            },
        }

    def _logprobs(self, piece: Piece) -> dict[str, Any] | None:
        if not self.body.logprobs:
            return None
        tokenizer = self.answering.model.tokenizer
        return {
            "content": chat_entries(
                tokenizer, piece.steps, self.body.top_logprobs or 0, skip_control=not self.tools
            ),
            "refusal": None,
        }


def _delta(
    number: int, delta: Mapping[str, Any], logprobs: Any = None, finish: str | None = None
) -> dict[str, Any]:
    return {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


async def prepare_chat(body: ChatRequest, model: ServedModel, settings: ServerSettings, client: str) -> Chat:
    """Everything up to the engine; ApiError for what can't be done."""
    check(body, model, settings)
    asked = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    if asked == 0:
        raise bad_value("max_tokens", "an answer has at least one token")
    # Templates and long texts take their time: not on the loop that everybody's streams run on.
    prompt = await asyncio.to_thread(prompt_ids, body, model, settings, asked)
    new_tokens = room_for(model, prompt, asked, param="messages")
    requests = requests_for(
        body,
        model,
        prompt,
        new_tokens,
        client=client,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
    )
    tools = bool(body.tools) and body.tool_choice != "none"
    stop = stops_of(body)
    choices = [Choice(model.tokenizer, stop, skip_control=not tools) for _ in requests]
    answering = Answering(model, requests, choices, settings.request_seconds, len(prompt))
    return Chat(body, answering, tools)


def check(body: ChatRequest, model: ServedModel, settings: ServerSettings) -> None:
    """ApiError for fields that contradict each other, or that this server would have to ignore."""
    check_stream(body)
    stops_of(body)
    if body.top_logprobs is not None and not body.logprobs:
        raise bad_value("top_logprobs", "`top_logprobs` needs `logprobs` true")
    if (body.n or 1) > settings.max_choices:
        raise bad_value("n", f"at most {settings.max_choices} choices (--max-choices)")
    if "chat" not in model.lm.capabilities:
        raise ApiError(
            400,
            f"The model {model.name!r} has no chat template, so it can't read a conversation: "
            "use /v1/completions.",
            param="messages",
            code="no_chat_template",
        )
    if body.response_format is not None and body.response_format.type != "text":
        raise unsupported("response_format", "this server can't hold an answer to a grammar")
    if body.tool_choice not in (None, "none", "auto"):
        raise unsupported("tool_choice", "this server can't force a call")
    if body.tool_choice not in (None, "none") and not body.tools:
        raise bad_value("tool_choice", "`tool_choice` needs `tools`")


def prompt_ids(
    body: ChatRequest, model: ServedModel, settings: ServerSettings, asked: int | None
) -> list[int]:
    """The conversation as the model reads it, without its oldest turns where that is the policy."""
    messages: Sequence[Mapping[str, Any]] = plain_messages(body.messages)
    tools = plain_tools(body.tools) if body.tool_choice != "none" else None
    tokenizer = model.tokenizer
    try:
        if settings.overflow == "drop":
            reserve = min(asked or 512, max(model.context // 4, 1))
            messages = fit_conversation(
                messages,
                count=lambda some: len(tokenizer.encode_chat(some, tools=tools)),
                window=model.context,
                reserve=reserve,
            ).messages
        return tokenizer.encode_chat(messages, tools=tools) + list(body.answer_begins or ())
    except ModelError as error:
        raise ApiError(400, str(error), param="messages", code="context_length_exceeded") from error
    except TokenizerError as error:
        raise bad_value("messages", str(error)) from error
