"""One connection over uvicorn's HTTP/1.1, with the limits on time that uvicorn leaves out."""

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """Closes where a request's head does not arrive in time, or an answer's end is not read."""

    head_seconds: float = 30.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there; its first request is due."""
        self.app_state = {**self.app_state, "abort": transport.abort}
        self._head_due: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Some bytes: of a head, whose time is measured, or of a body."""
        super().data_received(data)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._no_head_due()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def on_response_complete(self) -> None:
        """An answer is written; on a connection that stays, the next head is not due yet."""
        self._no_head_due()
        if self.conn.their_state is h11.SEND_BODY:
            # Answered before all of the request was read. To close now could take the answer away from a
            # client that still writes, so the rest is thrown away, for so long.
            self.loop.call_later(self.head_seconds, self._end_of_patience, self.cycle)
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came any more."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # closing would wait for a client who does not read
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """What can't be read as HTTP gets an error of the same shape as all others."""
        self._refuse(400, msg, "invalid_http")

    def _expect_head(self) -> None:
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._no_head_due()
        elif self._head_due is None:
            self._head_due = self.loop.call_later(self.head_seconds, self._too_slow)

    def _no_head_due(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _too_slow(self) -> None:
        self._head_due = None
        if not self.transport.is_closing() and self.conn.their_state is h11.IDLE:
            self._refuse(408, "The request's head did not arrive in time.", "request_timeout")

    def _end_of_patience(self, cycle: object) -> None:
        if self.cycle is cycle and self.conn.their_state is h11.SEND_BODY:
            self.transport.abort()

    def _refuse(self, status: int, message: str, code: str) -> None:
        said: dict[str, Any] = {
            "message": message,
            "type": "invalid_request_error",
            "param": None,
            "code": code,
        }
        body = json.dumps({"error": said}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = h11.Response(status_code=status, headers=headers)
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
