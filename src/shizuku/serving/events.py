"""Server-sent events, which end when their client leaves."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shizuku.serving.faults import ApiError

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class ClientGoneError(Exception):
    """Nobody is there to read the answer any more."""


class EventStream(Response):
    """JSON objects as events, `[DONE]` behind the last.

    An error after the first event is an event too: `{"error": …}`, as OpenAI's client expects it.
    """

    def __init__(self, events: AsyncIterator[Any], *, at_end: Callable[[], None]) -> None:
        """`at_end` is called whatever happens, also where not even the first event could be written."""
        super().__init__()
        self._events, self._at_end = events, at_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write until the end, or until the client leaves or stops reading."""
        writing = asyncio.ensure_future(self._write(send))
        leaving = asyncio.ensure_future(disconnected(receive))
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                writing.result()
        finally:
            self._at_end()
            for task in (writing, leaving):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        try:
            async for event in self._events:
                await self._event(send, event)
        except ApiError as error:
            await self._event(send, error.body())
        except Exception:
            await self._event(send, ApiError(500, "The server failed on this request.").body())
            raise  # a defect of ours, for the log
        body = b"data: [DONE]\n\n"
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _event(self, send: Send, event: Any) -> None:
        data = json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        # A lone half of a surrogate pair can't be written as UTF-8; escaped it stays what it was.
        body = b"data: " + data.encode("utf-8", errors="backslashreplace") + b"\n\n"
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def disconnected(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_there(request: Request, work: Any) -> Any:
    """The result of `work`, which is cancelled with ClientGoneError when the client leaves."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(disconnected(request.receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGoneError
        return working.result()
    finally:
        for task in (working, leaving):
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
