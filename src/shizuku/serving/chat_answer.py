"""A conversation's next message on its way out: text, tool calls, log-probabilities, whole or in pieces."""

import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shizuku.serving.answering import Answering
from shizuku.serving.choices import Piece
from shizuku.serving.logprobs import chat_entries
from shizuku.serving.schemas import ChatRequest
from shizuku.text.tool_calls.calls import Format, Tool, ToolCall
from shizuku.text.tool_calls.reader import ToolCallReader


@dataclass(frozen=True, slots=True)
class ToolUse:
    """How calls are found in an answer."""

    format: Format
    """How the model writes them."""
    tools: Sequence[Tool]
    """Those that may be called."""


@dataclass(slots=True)
class Told:
    """What of one choice has been told, and what is held back as it may become a call."""

    reader: ToolCallReader | None
    calls: int = 0
    ids: list[str] = field(default_factory=list)


class Chat:
    """One chat request on its way."""

    def __init__(self, body: ChatRequest, answering: Answering, use: ToolUse | None) -> None:
        """`use` says how to find calls; None where the answer holds none."""
        self.body, self.answering, self._use = body, answering, use
        self._told = [
            Told(None if use is None else ToolCallReader(use.format, use.tools)) for _ in answering.choices
        ]

    @property
    def head(self) -> dict[str, Any]:
        """The fields that every chunk and the whole answer begin with."""
        answering = self.answering
        return {"id": f"chatcmpl-{answering.id}", "created": answering.created, "model": answering.model.name}

    async def whole(self) -> dict[str, Any]:
        """The answer as one object."""
        count = len(self.answering.choices)
        texts, calls = [""] * count, [[] for _ in range(count)]  # type: list[str], list[list[ToolCall]]
        pieces = [Piece() for _ in range(count)]
        async for number, piece, new in self._read():
            texts[number] += piece.text
            calls[number] += new
            pieces[number].steps += piece.steps
            pieces[number].finish = piece.finish
        choices = []
        for number, piece in enumerate(pieces):
            message: dict[str, Any] = {"role": "assistant", "content": texts[number], "refusal": None}
            if calls[number]:
                message["content"] = texts[number] or None
                message["tool_calls"] = [_written(call, _call_id(call)) for call in calls[number]]
            choices.append(
                {
                    "index": number,
                    "message": message,
                    "logprobs": self._logprobs(piece),
                    "finish_reason": piece.finish,
                }
            )
        return {
            **self.head,
            "object": "chat.completion",
            "choices": choices,
            "usage": self.answering.usage(),
        }

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """The answer in pieces."""
        options = self.body.stream_options
        usage = {"usage": None} if options and options.include_usage else {}
        head = {**self.head, "object": "chat.completion.chunk", **usage}
        for number in range(len(self.answering.choices)):
            yield {**head, "choices": [_delta(number, {"role": "assistant", "content": ""})]}
        async for number, piece, calls in self._read():
            delta: dict[str, Any] = {"content": piece.text} if piece.text else {}
            if calls:
                first = self._told[number].calls - len(calls)
                delta["tool_calls"] = [
                    {"index": first + n, **_written(call, _call_id(call))} for n, call in enumerate(calls)
                ]
            logprobs = self._logprobs(piece) if piece.steps else None
            if delta or logprobs or piece.finish:
                yield {**head, "choices": [_delta(number, delta, logprobs, piece.finish or None)]}
        if usage:
            yield {**head, "choices": [], "usage": self.answering.usage()}

    async def _read(self) -> AsyncIterator[tuple[int, Piece, list[ToolCall]]]:
        """Pieces with their text free of calls, and the calls that have become whole."""
        async for number, piece in self.answering.pieces():
            told = self._told[number]
            if told.reader is None:
                yield number, piece, []
                continue
            text = told.reader.push(piece.text)
            if piece.finish:
                text += told.reader.finish()
            calls = told.reader.calls[told.calls :]
            if self.body.parallel_tool_calls is False and told.reader.calls:
                calls = told.reader.calls[:1][told.calls :]
                text = "" if told.calls else text
                if not piece.finish:
                    self.answering.end(number)
                    piece.finish = "stop"
            told.calls += len(calls)
            piece.text = text
            if piece.finish == "stop" and told.calls:
                piece.finish = "tool_calls"
            yield number, piece, calls

    def _logprobs(self, piece: Piece) -> dict[str, Any] | None:
        if not self.body.logprobs:
            return None
        entries = chat_entries(
            self.answering.model.tokenizer,
            piece.steps,
            self.body.top_logprobs or 0,
            skip_control=self._use is None,
        )
        return {"content": entries, "refusal": None}


def _delta(
    number: int, delta: Mapping[str, Any], logprobs: Any = None, finish: str | None = None
) -> dict[str, Any]:
    return {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def _call_id(call: ToolCall) -> str:
    """The model's own name for a call, or nine characters, as Mistral's templates want them."""
    return call.id or uuid.uuid4().hex[:9]


def _written(call: ToolCall, call_id: str) -> dict[str, Any]:
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    return {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
