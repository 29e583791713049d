"""The process: sockets, signals, and the end of it."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from shizuku.errors import ConfigError
from shizuku.serving.connection import Connection
from shizuku.serving.guard import Guard
from shizuku.serving.settings import ServerSettings

BACKLOG = 128
SEND_BYTES = 128 * 1024
KEEP_ALIVE_SECONDS = 30
# How long last words may take to reach their readers.
CLOSING_SECONDS = 2.0


def listening(settings: ServerSettings) -> socket.socket:
    """A socket that listens as the settings say; ConfigError where it can't."""
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host {settings.host}: no such address ({error})") from error
    family, kind, protocol, _, address = found[0]
    taken = socket.socket(family, kind, protocol)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it: left to itself the system holds megabytes for a client who does
        # not read, and that long nobody would notice.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        taken.bind(address)
        taken.listen(BACKLOG)
    except OSError as error:
        taken.close()
        raise ConfigError(
            f"can't listen on {settings.host} port {settings.port}: {error.strerror}. Give another "
            "--port (0 takes a free one) or --host"
        ) from error
    taken.setblocking(False)
    return taken


def url_of(taken: socket.socket) -> str:
    """The address as a client writes it."""
    host, port = taken.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


class Server(uvicorn.Server):
    """A server that ends when it is told to: once, after its answers; twice, at once."""

    def __init__(self, config: uvicorn.Config, guard: Guard, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._guard, self._on_ready = guard, on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept, then say so."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more; let answers end, or end them; then close."""
        self._guard.draining = True
        loop, patience = asyncio.get_running_loop(), self._guard.settings.drain_seconds
        timers = [
            loop.call_later(patience, self._guard.interrupt),
            loop.call_later(patience + CLOSING_SECONDS, self._abort),
        ]
        await super().shutdown(sockets)
        for timer in timers:
            timer.cancel()

    def _abort(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Hear SIGTERM and SIGINT; being told to end is no failure, so the exit code stays 0."""
        if threading.current_thread() is not threading.main_thread():
            yield  # signals go to the main thread: whoever runs a server beside it sets `should_exit`
            return
        before = {which: signal.signal(which, self.told) for which in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for which, handler in before.items():
                signal.signal(which, handler)

    def told(self, which: int, frame: FrameType | None) -> None:
        """End: gracefully the first time, at once the second."""
        if self.should_exit:
            os._exit(128 + which)
        self.should_exit = True


def server_for(guard: Guard, on_ready: Callable[[], None]) -> Server:
    """A server that calls `on_ready` as soon as it answers; its `run(sockets=[…])` lasts until the end."""
    settings = guard.settings
    # What clients do wrong is said to them; the log is for what goes wrong here.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    connection = type("Connection", (Connection,), {"head_seconds": settings.body_seconds})
    config = uvicorn.Config(
        guard,
        http=connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.drain_seconds + 2 * CLOSING_SECONDS) + 1,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    return Server(config, guard, on_ready)
